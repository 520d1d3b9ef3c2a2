"""The HTML of verdicts and claims: chips, the box at a measurement, tables, bars. No Sphinx here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from kexue.claims import PROFILES, VERDICTS
from kexue.claims.display import measured
from kexue.claims.pool import tally as count_verdicts
from kexue.press.sphinx_ext.chart import interval_picture, mark
from kexue.press.sphinx_ext.i18n import VERDICT_ZH, both, pair, translated
from kexue.press.sphinx_ext.staged import Chapter, Row

Place = Callable[[str], str]

_OLDER = both("measured with older code")
_WORDS = re.compile(r"not measured|no interval|\((\d+) of (\d+) seeds\)")
_SHORT = 6  # more claims than these are folded where they are declared: the verdict table has them all again


def chip(verdict: str, *, href: str = "", hint: str = "") -> str:
    """A verdict as a small badge: its mark, its word, and the word in Chinese."""
    tag, target = ("a", f' href="{escape(href)}"') if href else ("span", "")
    title = f' title="{escape(hint)}"' if hint else ""
    words = pair(verdict, VERDICT_ZH[verdict], "span").replace('class=" ', 'class="')
    return f'<{tag}{target} class="kx-chip kx-{verdict}"{title}>{mark(verdict)}{words}</{tag}>'


def measurement(row: Row) -> str:
    """What is shown where a claim is measured: verdict, statement, interval against expectation, source."""
    return (
        f'<div class="kx-measurement kx-{row["verdict"]}" id="claim-{row["id"]}" role="group" '
        f'aria-label="Claim {row["id"]}: {row["verdict"]}">'
        f'<div class="kx-head">{chip(row["verdict"])}'
        f'<a class="kx-id" href="#claim-{row["id"]}">{row["id"]}</a></div>'
        f"{_statement(row)}"
        f'<div class="kx-evidence">{interval_picture(row)}<dl>'
        f"{_fact('Expected', _expected(row))}{_fact('Measured', _measured(row))}"
        f"{_fact('Source', escape(row['source']))}</dl></div></div>"
    )


def declared(rows: Sequence[Row]) -> str:
    """The claims as they were declared, before anything was measured."""
    body = (
        (
            ("Claim", _statement(row) + f'<div class="kx-id">{row["id"]}</div>'),
            ("Expected", _expected(row)),
            ("Kind", _kind(row)),
            ("Source", escape(row["source"])),
        )
        for row in rows
    )
    unfolded = " open" if len(rows) <= _SHORT else ""
    caption = f"Claims declared before the first measurement: {len(rows)}"
    summary = both(caption, f"测量之前声明的论断：{len(rows)} 条")
    return (
        f'<details class="kx-declared"{unfolded}><summary>{summary}</summary>{table(caption, body)}</details>'
    )


def verdict_table(
    rows: Sequence[Row], frozen: Mapping[str, Row], *, profile: str, older_code: bool, place: Place
) -> str:
    """All claims of a chapter: verdict and statement, what was measured, and the frozen full-scale numbers.

    Args:
        rows: the ledger rows of the profile shown.
        frozen: the rows frozen at full scale, by claim.
        profile: the profile shown.
        older_code: whether the frozen numbers were measured with older code.
        place: the address of a claim's measurement, or "" if it has none.
    """

    def cells(row: Row) -> Iterable[tuple[str, str]]:
        yield "Claim", chip(row["verdict"]) + _linked(row, place)
        yield f"At {profile} scale", _evidence(row)
        if frozen:
            yield "At full scale", _frozen(frozen.get(row["id"]), older_code)

    return table("Verdicts of this chapter", (tuple(cells(row)) for row in rows))


def scoreboard(chapters: Sequence[Chapter], address: Callable[[str, str], str]) -> str:
    """Every claim of the book in one table; complete without JavaScript.

    Args:
        chapters: the chapters' data, each with its `claims`.
        address: from chapter and claim id to the place where it is measured ("" as id: the chapter).
    """

    def cells(chapter: Chapter, row: Row) -> Iterable[tuple[str, str]]:
        yield "Verdict", chip(row["verdict"])
        yield "Claim", _linked(row, lambda claim: address(chapter["slug"], claim))
        yield "Expected", _expected(row)
        yield "Measured", _measured(row)
        href = escape(address(chapter["slug"], ""))
        yield "Chapter", f'<a href="{href}">{pair(chapter["title"], chapter["title_zh"])}</a>'
        yield "Kind", both(row["kind"])
        yield "Scale", f"{both(row['scale'])}{_small('over', row['over'])}"

    pairs = [(chapter, row) for chapter in chapters for row in chapter["claims"]]
    attributes = (
        f'data-verdict="{row["verdict"]}" data-kind="{escape(row["kind"])}" data-scale="{escape(row["scale"])}" '
        f'data-chapter="{escape(chapter["slug"])}"'
        for chapter, row in pairs
    )
    body = (tuple(cells(chapter, row)) for chapter, row in pairs)
    return table("Every claim of the book", body, attributes=attributes, classes="kx-scoreboard") + _choices(
        chapters
    )


def _small(name: str, value: str) -> str:
    return f'<div class="kx-origin">{both(name, "单位：")} {both(value)}</div>'


def _choices(chapters: Sequence[Chapter]) -> str:
    """What the scoreboard's filters offer, in both languages, for the page's script."""
    rows = [row for chapter in chapters for row in chapter["claims"]]

    def words(values: Iterable[str]) -> list[tuple[str, str, str]]:
        return [(value, value, translated(value)) for value in dict.fromkeys(values)]

    there = {row["verdict"] for row in rows}
    offered = {
        "chapter": [(c["slug"], c["title"], c["title_zh"]) for c in chapters if c["claims"]],
        "verdict": words(verdict for verdict in VERDICTS if verdict in there),
        "kind": words(row["kind"] for row in rows),
        "scale": words(scale for scale in PROFILES if any(row["scale"] == scale for row in rows)),
    }
    text = json.dumps(offered, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="kexue-filters">{text}</script>'


def tally(rows: Sequence[Row], *, href: str) -> str:
    """How many claims there are of each verdict, with a link to all of them."""
    counts = count_verdicts(rows)
    tiles = "".join(
        f'<li class="kx-{verdict}"><b>{counts[verdict]}</b>{chip(verdict)}</li>' for verdict in VERDICTS
    )
    stale = sum(bool(row.get("stale")) for row in rows)
    older = f"; {stale} measured with older code" if stale else ""
    older_zh = f"；{stale} 条由旧代码测得" if stale else ""
    total = both(
        f"All {len(rows)} claims on the scoreboard{older}", f"记分板：全部 {len(rows)} 条论断{older_zh}"
    )
    return f'<div class="kx-tally"><ul>{tiles}</ul><p><a href="{escape(href)}">{total}</a></p></div>'


def key() -> str:
    """The four verdicts with what an interval must look like for each."""
    base = {"expect": "≥ 2", "expect_low": 2.0, "expect_high": None, "unit": "1", "over": "seeds", "n": 5}
    examples = (
        (
            "reproduced",
            2.9,
            [2.4, 3.4],
            "The whole 95 % interval lies inside the expected values.",
            "95% 区间全部落在预期范围之内。",
        ),
        ("refuted", 1.1, [0.8, 1.4], "The whole interval lies outside.", "整个区间落在预期范围之外。"),
        (
            "inconclusive",
            2.2,
            [1.5, 2.9],
            "The interval reaches over the edge: more replicates are needed.",
            "区间跨过边界：需要更多次重复。",
        ),
        ("untested", None, None, "Not run at the scale the claim needs.", "尚未在论断所需的规模上运行。"),
    )
    items = []
    for verdict, mean, interval, text, zh in examples:
        picture = _example({**base, "verdict": verdict, "mean": mean, "interval": interval})
        items.append(f"<li>{chip(verdict)}{picture}<div>{pair(text, zh)}</div></li>")
    return f'<ul class="kx-key">{"".join(items)}</ul>'


def _example(row: dict[str, Any]) -> str:
    return interval_picture(row) or '<svg class="kx-picture" viewBox="0 0 240 36" aria-hidden="true"></svg>'


def bar(rows: Sequence[Row]) -> str:
    """A chapter's verdicts as one bar, and in words below it."""
    counts = {verdict: number for verdict, number in count_verdicts(rows).items() if number}
    parts = "".join(
        f'<i class="kx-{verdict}" style="flex:{number}"></i>' for verdict, number in counts.items()
    )
    words = "".join(
        f'<li class="kx-{verdict}">{mark(verdict)} {number} {both(verdict)}</li>'
        for verdict, number in counts.items()
    )
    return f'<div class="kx-bar" aria-hidden="true">{parts}</div><ul class="kx-counts">{words}</ul>'


def table(
    caption: str,
    rows: Iterable[Sequence[tuple[str, str]]],
    *,
    attributes: Iterable[str] | None = None,
    classes: str = "",
) -> str:
    """A table that scrolls within itself and becomes a stack of cards on a phone.

    The roles are spelled out because a table laid out as blocks loses them in some browsers.

    Args:
        caption: what the table holds; also its accessible name.
        rows: rows of (column heading, HTML); every row has the same headings.
        attributes: further attributes of each `<tr>`.
        classes: further classes of the `<table>`.
    """
    listed = [list(row) for row in rows]
    if not listed:
        return f'<p class="kx-none">{both(f"{caption}: none yet.", f"{translated(caption)}：暂无。")}</p>'
    extra = list(attributes) if attributes is not None else [""] * len(listed)
    head = "".join(f'<th role="columnheader" scope="col">{both(name)}</th>' for name, _ in listed[0])
    body = "".join(
        f'<tr role="row" {more}>'
        + "".join(f'<td role="cell" data-label="{escape(name)}"><div>{html}</div></td>' for name, html in row)
        + "</tr>"
        for row, more in zip(listed, extra, strict=True)
    )
    return (
        f'<div class="kx-scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table class="kx-table {classes}" role="table" aria-label="{escape(caption)}">'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _statement(row: Row) -> str:
    return pair(row["statement"], row["statement_zh"], classes="kx-statement")


def _linked(row: Row, place: Place) -> str:
    href = place(row["id"])
    name = (
        f'<a class="kx-id" href="{escape(href)}">{row["id"]}</a>'
        if href
        else f'<span class="kx-id">{row["id"]}</span>'
    )
    return f'{_statement(row)}<div class="kx-origin">{name} · {escape(row["source"])}</div>'


def _evidence(row: Row) -> str:
    measured_as = f"{both('measured')} {_measured(row)}" if row["n"] else _measured(row)
    return f"{interval_picture(row)}<div>{_expected(row)}</div><div>{measured_as}</div>"


def _kind(row: Row) -> str:
    kind, over, scale = row["kind"], row["over"], row["scale"]
    return both(
        f"{kind}, over {over}, from {scale} scale",
        f"{translated(kind)}；重复单位：{translated(over)}；最小规模：{translated(scale)}",
    )


def in_figures(row: Row) -> str:
    """What was measured, as `measured` has it, with its few words in both languages."""

    def said(found: re.Match[str]) -> str:
        seeds = f"（{found[2]} 个种子中的 {found[1]} 个）" if found[1] else None
        return both(found[0], seeds)

    return _WORDS.sub(said, escape(measured(row)))


def _expected(row: Row) -> str:
    return f'{escape(row["quantity"])} <b class="kx-number">{escape(row["expect"])}</b>'


def _measured(row: Row) -> str:
    old = f' <em class="kx-old">{_OLDER}</em>' if row["stale"] and row["n"] else ""
    return f'<span class="kx-number">{in_figures(row)}</span>{old}'


def _frozen(row: Row | None, older_code: bool) -> str:
    if row is None:
        return both("not frozen")
    old = f' <em class="kx-old">{_OLDER}</em>' if older_code else ""
    return f'{chip(row["verdict"])}<div class="kx-number">{in_figures(row)}</div>{old}'


def _fact(name: str, html: str) -> str:
    return f"<dt>{both(name)}</dt><dd>{html}</dd>"
