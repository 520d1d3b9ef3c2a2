"""The pages Speed and Provenance, made of what each run has recorded of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes

from kexue.press.sphinx_ext import provenance
from kexue.press.sphinx_ext.directive import PageDirective, html
from kexue.press.sphinx_ext.i18n import both, pair
from kexue.press.sphinx_ext.markup import table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from kexue.press.sphinx_ext.staged import Benchmark, Chapter, Run, Site

_SHORT = 12
_URL = re.compile(r"https?://[^\s,;]+")


def _title(site: Site, chapter: Chapter) -> str:
    href = escape(site.page(chapter["docname"]))
    return f'<a href="{href}">{pair(chapter["title"], chapter["title_zh"])}</a>'


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _bars(seconds: Sequence[float], longest: float) -> str:
    """One bar a run, as long as it took beside the longest of the table."""
    each = "".join(f'<i style="width:{max(100 * value / longest, 0.5):.1f}%"></i>' for value in seconds)
    return f'<div class="kx-times" aria-hidden="true">{each}</div>'


def batches(site: Site) -> list[tuple[Chapter, str, Sequence[Run], str]]:
    """Every set of runs there is word of: chapter, profile, their provenance, and where it is kept."""
    found: list[tuple[Chapter, str, Sequence[Run], str]] = []
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
            spread = "" if len(seconds) == 1 else f" ({_duration(min(seconds))} – {_duration(max(seconds))})"
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


def slowest(site: Site) -> str:
    """The cells that took longest, chapter by chapter."""

    def cells() -> Iterator[list[tuple[str, str]]]:
        for chapter in site.chapters:
            for cell in chapter["slowest"]:
                where = both(
                    f"cell {cell['number']} of {cell['of']}", f"第 {cell['number']} / {cell['of']} 个单元"
                )
                yield [
                    ("Chapter", _title(site, chapter)),
                    ("Cell", f'<code>{escape(cell["line"])}</code><div class="kx-origin">{where}</div>'),
                    ("Time", _duration(cell["seconds"])),
                    ("Share", f"{100 * cell['share']:.0f} %"),
                ]

    return table("Slowest cells", cells())


def recorded(site: Site) -> str:
    """Every recorded benchmark as a table, under it the machine, the time and the commit."""
    return "".join(_benchmark(site, one) for one in site.data["benchmarks"]) or table("Benchmarks", [])


def _benchmark(site: Site, found: Benchmark) -> str:
    rows = [
        [(column, escape(_plain(value))) for column, value in zip(found["columns"], row, strict=True)]
        for row in found["rows"]
    ]
    commit = escape(found["commit"][:_SHORT])
    href = site.commit(found["commit"])
    at = f'<a href="{escape(href)}"><code>{commit}</code></a>' if href else f"<code>{commit}</code>"
    facts = [f"{both('Machine')} {escape(found['machine'])}", f"{both('Started')} {_moment(found['when'])}"]
    facts.append(f"{both('Commit')} {at}")
    name = escape(found["benchmark"])
    return (
        f'<section class="kx-benchmark" aria-label="{name}"><h3>{name}</h3>{table(found["benchmark"], rows)}'
        f'<p class="kx-origin">{" · ".join(facts)}</p></section>'
    )


def _plain(value: Any) -> str:
    """A cell of a benchmark: three digits of what was timed, whole numbers as they are, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def _moment(text: str) -> str:
    return escape(text[:16].replace("T", " "))


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
                    ("Started", _moment(str(run.get("started", "")))),
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


class Slowest(PageDirective):
    """The cells that took longest."""

    def run(self) -> list[nodes.Node]:
        return [html(slowest(self.site))]


class Benchmarks(PageDirective):
    """The recorded benchmarks."""

    def run(self) -> list[nodes.Node]:
        return [html(recorded(self.site))]


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
    for name, directive in {
        "speed-table": Speed,
        "slowest-cells": Slowest,
        "benchmark-tables": Benchmarks,
        "run-table": Runs,
        "data-table": DataSets,
    }.items():
        app.add_directive(name, directive)
