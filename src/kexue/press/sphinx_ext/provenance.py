"""The HTML of where a chapter's numbers come from: commit, versions, machine, cost, commands."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from kexue.press.sphinx_ext.i18n import both, translated
from kexue.press.sphinx_ext.markup import table
from kexue.press.sphinx_ext.staged import Chapter, Run

# In English and Chinese: a title, and what it means for a reader.
_BANNERS = {
    "stale": (
        ("Measured with older code", "由旧代码测得"),
        (
            "The numbers on this page come from a run of an earlier version of its code.",
            "本页的数字来自其代码的较早版本。",
        ),
    ),
    "failed": (
        ("The last run failed", "上次运行失败"),
        (
            "What this page shows is what was measured before, or nothing.",
            "本页所示为此前测得的结果，或没有结果。",
        ),
    ),
    "never run": (
        ("Not measured yet", "尚未测量"),
        (
            "This chapter has no stored run: its claims are untested, its figures are not drawn.",
            "本章没有存档的运行：论断未测，图未绘制。",
        ),
    ),
}
_FEWER = (
    ("Some runs are missing", "缺少部分运行"),
    (
        "The numbers on this page are of the present code, from fewer seeds.",
        "本页的数字由当前代码测得，但种子较少。",
    ),
)
_DIFFERS = (
    ("Differs from the record", "与存档不一致"),
    (
        "A verdict on this page is not the one recorded in the repository.",
        "本页有判定与仓库中的存档不同。",
    ),
)


def banner(chapter: Chapter) -> str:
    """What a reader must know before trusting a chapter's numbers; "" when there is nothing to say."""
    boxes = []
    if chapter["state"] in _BANNERS:
        words = _BANNERS[chapter["state"]]
        if (
            chapter["state"] == "stale"
            and chapter["runs"]
            and not any(row["stale"] for row in chapter["claims"])
        ):
            words = _FEWER
        boxes.append(_box(*words, chapter["reasons"]))
    if chapter["differences"]:
        boxes.append(_box(*_DIFFERS, chapter["differences"]))
    return "".join(boxes)


def state_in_words(state: str) -> str:
    """What a chapter's state means for a reader, as HTML in both languages; "" when it is fresh."""
    return both(*_BANNERS[state][0]) if state in _BANNERS else ""


def facts(chapter: Chapter) -> str:
    """The provenance of the runs shown, and of the frozen full-scale numbers."""
    runs = chapter["runs"]
    there, wanted, profile = len(runs), chapter["seeds_wanted"], chapter["profile"]
    shown = (
        f"{there} of {wanted} runs at profile {profile}",
        f"{translated(profile)}规模：{wanted} 次运行中的 {there} 次",
    )
    blocks = [_block(shown, runs, chapter["data"])] if runs else [f"<p>{both('No stored run.')}</p>"]
    full = chapter["frozen"].get("full")
    if full:
        old = (", measured with older code", "，由旧代码测得") if full.get("older_code") else ("", "")
        title = (f"Frozen at full scale{old[0]}", f"完整规模的存档{old[1]}")
        blocks.append(_block(title, full["provenance"], ()))
    return f'<div class="kx-provenance">{"".join(blocks)}</div>'


def commands(chapter: Chapter) -> str:
    """The commands that measure the chapter again."""
    slug = chapter["slug"]
    lines = [f"$ kexue run {slug} --profile {profile}" for profile in chapter["profiles"]]
    return "\n".join([*lines, f"$ kexue why {slug}"])


def _block(title: tuple[str, str], runs: Sequence[Run], data: Sequence[str]) -> str:
    items = {
        "Commit": _distinct(runs, _commit),
        "Measured": _distinct(runs, lambda run: escape(str(run.get("started", ""))[:10])),
        "Device": _distinct(runs, lambda run: escape(device_of(run))),
        "Machine": _distinct(runs, lambda run: escape(machine_of(run))),
        "Duration": _duration(runs),
        "Peak memory": _peak(runs),
        "Versions": _distinct(runs, lambda run: escape(_versions(run))),
        "Data": escape(", ".join(data)),
    }
    listed = "".join(f"<dt>{both(name)}</dt><dd>{text}</dd>" for name, text in items.items() if text)
    single = table(f"{title[0]}: run by run", [_run(run) for run in runs])
    details = f"<details><summary>{both('Run by run')}</summary>{single}</details>" if len(runs) > 1 else ""
    return f"<h4>{both(*title)}</h4><dl>{listed}</dl>{details}"


def _run(run: Run) -> list[tuple[str, str]]:
    return [
        ("Seed", escape(str(run.get("seed", "")))),
        ("Run", f"<code>{escape(str(run.get('key', ''))[:12])}</code>"),
        ("Started", escape(str(run.get("started", "")))),
        ("Seconds", f"{run['seconds']:.1f}" if run.get("seconds") is not None else ""),
        ("Device", escape(str(run.get("device", "")))),
        ("Peak memory", f"{run['peak_rss_mb']:.0f} MB" if run.get("peak_rss_mb") else ""),
    ]


def _distinct(runs: Sequence[Run], text: Any) -> str:
    return "; ".join(dict.fromkeys(found for run in runs if (found := text(run))))


def _commit(run: Run) -> str:
    commit = escape(str(run.get("commit") or "")[:12])
    changed = both(" with uncommitted changes", "（有未提交的修改）")
    return f"{commit}{changed}" if commit and run.get("dirty") else commit


def device_of(run: Run) -> str:
    """The device class of a run, with the GPU's name where it used one."""
    device, gpu = str(run.get("device", "")), (run.get("host") or {}).get("gpu")
    return f"{device} ({gpu})" if gpu and device.startswith("cuda") else device


def machine_of(run: Run) -> str:
    """The processor of a run and how many cores it has."""
    host = run.get("host") or {}
    cores = f"{host['cores']} cores" if host.get("cores") else ""
    return ", ".join(filter(None, [str(host.get("cpu") or ""), cores]))


def _versions(run: Run) -> str:
    return ", ".join(f"{name} {number}" for name, number in (run.get("versions") or {}).items())


def _duration(runs: Sequence[Run]) -> str:
    seconds = [run["seconds"] for run in runs if run.get("seconds") is not None]
    if not seconds:
        return ""
    total, low, high = sum(seconds), min(seconds), max(seconds)
    if len(seconds) == 1:
        return both(f"{total:.1f} s", f"{total:.1f} 秒")
    return both(
        f"{total:.1f} s in all ({low:.1f} to {high:.1f} s a run)",
        f"共 {total:.1f} 秒（每次 {low:.1f} 至 {high:.1f} 秒）",
    )


def _peak(runs: Sequence[Run]) -> str:
    main = [peak for run in runs if (peak := run.get("peak_rss_mb"))]
    gpu = [peak for run in runs if (peak := run.get("peak_gpu_mb"))]
    parts = [f"{max(main):.0f} MB"] if main else []
    on_gpu = both(f"{max(gpu):.0f} MB on the GPU", f"GPU 上 {max(gpu):.0f} MB") if gpu else ""
    return ", ".join([*parts, *([on_gpu] if gpu else [])])


def _box(title: tuple[str, str], text: tuple[str, str], reasons: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<div class="kx-banner" role="note" aria-label="{escape(title[0])}">'
        f"<b>{both(f'{title[0]}. ', f'{title[1]}。')}</b>{both(*text)}"
        f"{f'<ul>{listed}</ul>' if listed else ''}</div>"
    )
