"""How claims and verdicts look in a notebook, and how they leave it: as outputs with a media type of their own."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

CLAIMS_MIME = "application/vnd.kexue.claims+json"
MEASUREMENT_MIME = "application/vnd.kexue.measurement+json"
VERDICTS_MIME = "application/vnd.kexue.verdicts+json"

MARKS = {"reproduced": "✓", "refuted": "✗", "inconclusive": "≈", "untested": "○"}
_DIGITS, _MOST = 4, 10  # significant digits: of any number, and at most
_ROUNDING = 1e-9  # differences below this share of a number are rounding
_HUES = {"reproduced": "#1a7f4b", "refuted": "#c0392b", "inconclusive": "#8a6d00", "untested": "#6b7280"}


def number(value: float | None, place: int | None = None) -> str:
    """A number as the tables print it: four significant digits, or more, down to the decimal place 10^`place`."""
    if value is None:
        return "–"
    wanted = 0 if place is None or value == 0 else math.floor(math.log10(abs(value))) - place + 1
    return f"{value:.4g}" if wanted <= _DIGITS else f"{value:#.{min(wanted, _MOST)}g}".rstrip(".")


def _place(row: Mapping[str, Any]) -> int | None:
    """The last decimal place that matters: a tenth of the tolerance, or of the distance to the nearest edge of what is
    expected where that is larger; and no coarser than the interval is wide. None: four digits do.
    """
    edges = [edge for edge in (row["expect_low"], row["expect_high"]) if edge is not None]
    tolerance = (edges[1] - edges[0]) / 2 if len(edges) == 2 else 0.0
    mean = abs(row["mean"])
    beside = max(tolerance, min((abs(row["mean"] - edge) for edge in edges), default=0.0)) / 10
    low, high = row["interval"] or (row["mean"], row["mean"])
    steps = [step for step in (beside, high - low) if step > mean * _ROUNDING and step > 0]
    return min((math.floor(math.log10(step)) for step in steps), default=None)


def measured(row: Mapping[str, Any]) -> str:
    """The measured mean with its interval and unit, in words: "0.52 [0.48, 0.56] nat, n = 5"."""
    if row["n"] == 0:
        return "not measured"
    seeds, wanted = len(row.get("seeds", ())), row.get("seeds_wanted", 0)
    some = f" ({seeds} of {wanted} seeds)" if seeds < wanted else ""
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    place = _place(row)
    mean = number(row["mean"], place)
    low, high = (number(end, place) for end in row["interval"] or (None, None))
    if row["over"] == "exact":
        error = "" if low == mean == high else f" [{low}, {high}]"
        return f"{mean}{error}{unit}{some}"
    interval = f"[{low}, {high}]" if row["interval"] else "no interval"
    return f"{mean} {interval}{unit}, n = {row['n']}{some}"


def _text(row: Mapping[str, Any]) -> str:
    expectation = f"{row['quantity']} {row['expect']}"
    return (
        f"{MARKS[row['verdict']]} {row['verdict']:<12} {row['id']}: {measured(row)} (claimed {expectation})"
    )


def _html(rows: Sequence[Mapping[str, Any]]) -> str:
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


def rendered(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What a notebook shows of `rows`, by media type."""
    return {"text/html": _html(rows), "text/plain": "\n".join(map(_text, rows))}


def interactive() -> bool:
    """Whether this process is a notebook's kernel, or IPython."""
    found = sys.modules.get("IPython")
    return found is not None and found.get_ipython() is not None


def show(mime: str, data: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Show `rows` in a notebook with `data` beside them under `mime`; outside IPython nothing is shown.

    The press reads `data` from the executed notebook, so raw papermill, JupyterLab and `kexue run` leave the
    same record.
    """
    if not interactive():
        return
    from IPython.display import display

    display({mime: data, **rendered(rows)}, raw=True)
