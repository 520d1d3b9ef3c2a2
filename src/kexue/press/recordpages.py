"""The pages Speed and Provenance, made of what each run has recorded of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes

from kexue.press import provenance
from kexue.press.directive import PageDirective, html
from kexue.press.markup import table
from kexue.press.words import both, pair

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from kexue.press.site import Site

_SHORT = 12
_URL = re.compile(r"https?://[^\s,;]+")


def _title(site: Site, chapter: Mapping[str, Any]) -> str:
    href = escape(site.page(chapter["docname"]))
    return f'<a href="{href}">{pair(chapter["title"], chapter["title_zh"])}</a>'


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _bars(seconds: Sequence[float], longest: float) -> str:
    """One bar a run, as long as it took beside the longest of the table."""
    each = "".join(f'<i style="width:{max(100 * value / longest, 0.5):.1f}%"></i>' for value in seconds)
    return f'<div class="kx-times" aria-hidden="true">{each}</div>'


def batches(site: Site) -> list[tuple[Mapping[str, Any], str, Sequence[Mapping[str, Any]], str]]:
    """Every set of runs there is word of: chapter, profile, their provenance, and where it is kept."""
    found: list[tuple[Mapping[str, Any], str, Sequence[Mapping[str, Any]], str]] = []
    for chapter in site.chapters:
        if chapter["runs"]:
            found.append((chapter, chapter["profile"], chapter["runs"], "this site"))
        for profile, entry in chapter["frozen"].items():
            if entry.get("provenance") and profile != chapter["profile"]:
                found.append((chapter, profile, entry["provenance"], "on record"))
    return found


def speed(site: Site) -> str:
    """How long the runs took, with what memory, on which machine."""
    listed = batches(site)
    longest = max((run["seconds"] or 0 for _, _, runs, _ in listed for run in runs), default=1) or 1

    def cells() -> Iterator[list[tuple[str, str]]]:
        for chapter, profile, runs, kept in listed:
            seconds = [run["seconds"] for run in runs if run.get("seconds")]
            if not seconds:
                continue
            cpu = [run["cpu_seconds"] for run in runs if run.get("cpu_seconds")]
            peak = max((run.get("peak_rss_mb") or 0 for run in runs), default=0)
            machine = "; ".join(dict.fromkeys(filter(None, (provenance.machine_of(run) for run in runs))))
            spread = "" if len(seconds) == 1 else f" ({_duration(min(seconds))} to {_duration(max(seconds))})"
            yield [
                ("Chapter", _title(site, chapter)),
                ("Scale", f'{both(profile)}<div class="kx-origin">{both(kept)}</div>'),
                ("A run", f"{_bars(seconds, longest)}{_duration(sum(seconds) / len(seconds))}{spread}"),
                ("Runs", str(len(seconds))),
                ("Total", _duration(sum(seconds))),
                ("CPU", _duration(sum(cpu)) if cpu else "–"),
                ("Peak memory", f"{peak:.0f} MB" if peak else "–"),
                ("Machine", escape(machine) or "–"),
            ]

    return table("What the runs took", cells(), classes="kx-wide")


def runs(site: Site) -> str:
    """Every run behind the numbers."""

    def cells() -> Iterator[list[tuple[str, str]]]:
        for chapter, profile, listed, kept in batches(site):
            for run in listed:
                commit = str(run.get("commit") or "")
                short = commit[:_SHORT] or "–"
                dirty = both(" with uncommitted changes", "（有未提交的修改）") if run.get("dirty") else ""
                versions = ", ".join(
                    f"{name} {number}" for name, number in (run.get("versions") or {}).items()
                )
                yield [
                    ("Chapter", _title(site, chapter)),
                    (
                        "Scale",
                        f'{both(profile)}, {both("Seed")} {run.get("seed", "")}<div class="kx-origin">{both(kept)}</div>',
                    ),
                    ("Run", f"<code>{escape(str(run.get('key', ''))[:_SHORT])}</code>"),
                    ("Commit", f"<code>{escape(short)}</code>{dirty}"),
                    ("Started", escape(str(run.get("started", ""))[:16].replace("T", " "))),
                    ("Device", escape(provenance.device_of(run))),
                    ("Versions", escape(versions)),
                ]

    return table("Every run behind the numbers", cells(), classes="kx-wide")


def data_sets(site: Site) -> str:
    """Every data set read, with its source, licence and digest."""

    def cells() -> Iterator[list[tuple[str, str]]]:
        for name, entry in site.data["data"].items():
            users = [chapter for chapter in site.chapters if name in chapter["data"]]
            link = _URL.sub(lambda url: f'<a href="{url[0]}">{url[0]}</a>', escape(entry["source"]))
            yield [
                ("Data", f'<code>{escape(name)}</code><div class="kx-origin">{escape(entry["title"])}</div>'),
                ("Source", link),
                ("Licence", escape(entry["licence"])),
                ("Digest", f"<code>{escape(entry['digest'][:_SHORT])}</code>"),
                ("Chapter", "".join(_title(site, chapter) for chapter in users)),
            ]

    return table("Data sets", cells())


class Speed(PageDirective):
    """How long everything took."""

    def run(self) -> list[nodes.Node]:
        return [html(speed(self.site))]


class Runs(PageDirective):
    """Every run behind the numbers."""

    def run(self) -> list[nodes.Node]:
        return [html(runs(self.site))]


class DataSets(PageDirective):
    """Every data set the chapters read."""

    def run(self) -> list[nodes.Node]:
        return [html(data_sets(self.site))]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    for name, directive in {"speed-table": Speed, "run-table": Runs, "data-table": DataSets}.items():
        app.add_directive(name, directive)
