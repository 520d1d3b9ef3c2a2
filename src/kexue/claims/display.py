"""How claims and verdicts look in a notebook, and how they leave it: as outputs with a media type of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

CLAIMS_MIME = "application/vnd.kexue.claims+json"
MEASUREMENT_MIME = "application/vnd.kexue.measurement+json"
VERDICTS_MIME = "application/vnd.kexue.verdicts+json"

MARKS = {"reproduced": "✓", "refuted": "✗", "inconclusive": "≈", "untested": "○"}
_HUES = {"reproduced": "#1a7f4b", "refuted": "#c0392b", "inconclusive": "#8a6d00", "untested": "#6b7280"}


def number(value: float | None) -> str:
    """A number with four significant digits, as the tables print it."""
    return "–" if value is None else f"{value:.4g}"


def measured(row: Mapping[str, Any]) -> str:
    """The measured mean with its interval and unit, in words: "0.52 [0.48, 0.56] nat, n = 5"."""
    if row["n"] == 0:
        return "not measured"
    seeds, wanted = len(row.get("seeds", ())), row.get("seeds_wanted", 0)
    some = f" ({seeds} of {wanted} seeds)" if seeds < wanted else ""
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    if row["over"] == "exact":
        low, high = row["interval"]
        error = "" if low == high else f" [{number(low)}, {number(high)}]"
        return f"{number(row['mean'])}{error}{unit}{some}"
    low, high = row["interval"] or (None, None)
    interval = "no interval" if low is None else f"[{number(low)}, {number(high)}]"
    return f"{number(row['mean'])} {interval}{unit}, n = {row['n']}{some}"


def _text(row: dict[str, Any]) -> str:
    expectation = f"{row['quantity']} {row['expect']}"
    return (
        f"{MARKS[row['verdict']]} {row['verdict']:<12} {row['id']}: {measured(row)} (claimed {expectation})"
    )


def _html(rows: Sequence[dict[str, Any]]) -> str:
    def chip(verdict: str) -> str:
        style = (
            f"background:{_HUES[verdict]};color:#fff;border-radius:1em;padding:.1em .7em;white-space:nowrap"
        )
        return f'<span style="{style}">{MARKS[verdict]} {verdict}</span>'

    body = "".join(
        f"<tr><td>{chip(row['verdict'])}</td><td style='text-align:left'>{escape(row['statement'])}</td>"
        f"<td style='text-align:left'>{escape(row['quantity'])} {escape(row['expect'])}</td>"
        f"<td style='text-align:left'>{escape(measured(row))}</td></tr>"
        for row in rows
    )
    head = "<tr><th>verdict</th><th>claim</th><th>expected</th><th>measured in this run</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def show(mime: str, data: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Show `rows` in a notebook with `data` beside them under `mime`; outside IPython nothing is shown.

    The press reads `data` from the executed notebook, so raw papermill, JupyterLab and `kexue run` leave the
    same record.
    """
    interactive = sys.modules.get("IPython")
    if interactive is None or interactive.get_ipython() is None:
        return
    from IPython.display import display

    display({mime: data, "text/html": _html(rows), "text/plain": "\n".join(map(_text, rows))}, raw=True)
