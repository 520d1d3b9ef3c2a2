"""The HTML of where a chapter's numbers come from: commit, versions, machine, cost, commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kexue.press.markup import table

_BANNERS = {
    "stale": (
        "Measured with older code",
        "The numbers on this page come from a run of an earlier version of its code.",
    ),
    "failed": ("The last run failed", "What this page shows is what was measured before, or nothing."),
    "never run": (
        "Not measured yet",
        "This chapter has no stored run: its claims are untested, its figures are not drawn.",
    ),
}


def banner(chapter: Mapping[str, Any]) -> str:
    """What a reader must know before trusting a chapter's numbers; "" when there is nothing to say."""
    boxes = []
    if chapter["state"] in _BANNERS:
        title, text = _BANNERS[chapter["state"]]
        if (
            chapter["state"] == "stale"
            and chapter["runs"]
            and not any(row["stale"] for row in chapter["claims"])
        ):
            title, text = (
                "Some runs are missing",
                "The numbers on this page are of the present code, from fewer seeds.",
            )
        boxes.append(_box(title, text, chapter["reasons"]))
    if chapter["differences"]:
        text = "A verdict on this page is not the one recorded in the repository."
        boxes.append(_box("Differs from the record", text, chapter["differences"]))
    return "".join(boxes)


def state_in_words(state: str) -> str:
    """What a chapter's state means for a reader; "" when it is fresh."""
    return _BANNERS[state][0] if state in _BANNERS else ""


def facts(chapter: Mapping[str, Any]) -> str:
    """The provenance of the runs shown, and of the frozen full-scale numbers."""
    runs = chapter["runs"]
    shown = f"{len(runs)} of {chapter['seeds_wanted']} runs at profile {chapter['profile']}"
    blocks = [_block(shown, runs, chapter["data"])] if runs else ["<p>No stored run.</p>"]
    full = chapter["frozen"].get("full")
    if full:
        title = "Frozen at full scale" + (", measured with older code" if full.get("older_code") else "")
        blocks.append(_block(title, full["provenance"], ()))
    return f'<div class="kx-provenance">{"".join(blocks)}</div>'


def commands(chapter: Mapping[str, Any]) -> str:
    """The commands that measure the chapter again."""
    slug = chapter["slug"]
    lines = [f"$ kexue run {slug} --profile {profile}" for profile in chapter["profiles"]]
    return "\n".join([*lines, f"$ kexue why {slug}"])


def _block(title: str, runs: Sequence[Mapping[str, Any]], data: Sequence[str]) -> str:
    items = {
        "Commit": _distinct(runs, _commit),
        "Measured": _distinct(runs, lambda run: str(run.get("started", ""))[:10]),
        "Device": _distinct(runs, device_of),
        "Machine": _distinct(runs, machine_of),
        "Duration": _duration(runs),
        "Peak memory": _peak(runs),
        "Versions": _distinct(runs, _versions),
        "Data": ", ".join(data),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in items.items() if text)
    single = table(f"{title}: run by run", [_run(run) for run in runs])
    details = f"<details><summary>Run by run</summary>{single}</details>" if len(runs) > 1 else ""
    return f"<h4>{escape(title)}</h4><dl>{listed}</dl>{details}"


def _run(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Seed", escape(str(run.get("seed", "")))),
        ("Run", f"<code>{escape(str(run.get('key', ''))[:12])}</code>"),
        ("Started", escape(str(run.get("started", "")))),
        ("Seconds", f"{run['seconds']:.1f}" if run.get("seconds") is not None else ""),
        ("Device", escape(str(run.get("device", "")))),
        ("Peak memory", f"{run['peak_rss_mb']:.0f} MB" if run.get("peak_rss_mb") else ""),
    ]


def _distinct(runs: Sequence[Mapping[str, Any]], text: Any) -> str:
    return "; ".join(dict.fromkeys(found for run in runs if (found := text(run))))


def _commit(run: Mapping[str, Any]) -> str:
    commit = str(run.get("commit") or "")[:12]
    return f"{commit} with uncommitted changes" if commit and run.get("dirty") else commit


def device_of(run: Mapping[str, Any]) -> str:
    """The device class of a run, with the GPU's name where it used one."""
    device, gpu = str(run.get("device", "")), (run.get("host") or {}).get("gpu")
    return f"{device} ({gpu})" if gpu and device.startswith("cuda") else device


def machine_of(run: Mapping[str, Any]) -> str:
    """The processor of a run and how many cores it has."""
    host = run.get("host") or {}
    cores = f"{host['cores']} cores" if host.get("cores") else ""
    return ", ".join(filter(None, [str(host.get("cpu") or ""), cores]))


def _versions(run: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in (run.get("versions") or {}).items())


def _duration(runs: Sequence[Mapping[str, Any]]) -> str:
    seconds = [run["seconds"] for run in runs if run.get("seconds") is not None]
    if not seconds:
        return ""
    each = f" ({min(seconds):.1f} to {max(seconds):.1f} s a run)" if len(seconds) > 1 else ""
    return f"{sum(seconds):.1f} s in all{each}"


def _peak(runs: Sequence[Mapping[str, Any]]) -> str:
    main = [run["peak_rss_mb"] for run in runs if run.get("peak_rss_mb")]
    gpu = [run["peak_gpu_mb"] for run in runs if run.get("peak_gpu_mb")]
    parts = [f"{max(main):.0f} MB"] if main else []
    return ", ".join([*parts, *([f"{max(gpu):.0f} MB on the GPU"] if gpu else [])])


def _box(title: str, text: str, reasons: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<div class="kx-banner" role="note" aria-label="{escape(title)}">'
        f"<b>{escape(title)}.</b> {escape(text)}"
        f"{f'<ul>{listed}</ul>' if listed else ''}</div>"
    )
