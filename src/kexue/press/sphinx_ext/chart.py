"""The small pictures of a verdict: a mark told by its shape, the interval against the expectation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from kexue.claims.display import measured

_WIDTH, _HEIGHT = 240.0, 36.0
_MARGIN = 0.18
_DUST = 1e-300

_SHAPES = {
    "reproduced": '<circle cx="8" cy="8" r="7" fill="currentColor"/>'
    '<path d="M4.4 8.3l2.5 2.5 4.8-5.3" class="kx-cut"/>',
    "refuted": '<path d="M8 .4L15.6 8 8 15.6.4 8z" fill="currentColor"/>'
    '<path d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" class="kx-cut"/>',
    "inconclusive": '<circle cx="8" cy="8" r="6.2" class="kx-line"/>'
    '<path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor"/>',
    "untested": '<circle cx="8" cy="8" r="6.2" class="kx-line" stroke-dasharray="2.6 2.2"/>',
}


def mark(verdict: str) -> Markup:
    """The verdict's mark: a tick in a disc, a cross in a diamond, a half-filled ring, a dashed ring."""
    return Markup('<svg class="kx-mark" aria-hidden="true"><use href="#kx-{}"/></svg>').format(verdict)


def shapes() -> str:
    """The marks themselves, once a page; each mark on it points here."""
    symbols = "".join(
        f'<symbol id="kx-{verdict}" viewBox="0 0 16 16">{shape}</symbol>'
        for verdict, shape in _SHAPES.items()
    )
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{symbols}</svg>'


def interval_picture(row: Mapping[str, Any]) -> Markup:
    """The 95 % interval of a claim drawn against the expected values; "" where nothing was measured.

    Args:
        row: a row of the ledger.
    """
    if not row["n"] or row["mean"] is None:
        return Markup("")
    low, high = row["interval"] or (row["mean"], row["mean"])
    left, right = row["expect_low"], row["expect_high"]
    known = [value for value in (low, high, row["mean"], left, right) if value is not None]
    begin, end = min(known), max(known)
    # What is as close as this has no scale to be drawn in.
    pad = _MARGIN * (end - begin) if end - begin > _DUST else 0.2 * max(abs(begin), 1.0)
    scale = _WIDTH / (end - begin + 2 * pad)

    def at(value: float) -> float:
        return round(float((value - begin + pad) * scale), 1)

    x_left, x_right = (0.0 if left is None else at(left)), (_WIDTH if right is None else at(right))
    x_left, x_right = (x_left - 1.5, x_right + 1.5) if x_right - x_left < 3 else (x_left, x_right)
    edges = [x for x, bound in ((x_left, left), (x_right, right)) if bound is not None]
    middle = _HEIGHT / 2
    parts = [
        f'<rect class="kx-band" x="{x_left:g}" y="4" height="{_HEIGHT - 8:g}"'
        f' width="{round(x_right - x_left, 1):g}"/>',
        *(f'<path class="kx-edge" d="M{x:g} 2V{_HEIGHT - 2:g}"/>' for x in edges),
        f'<path class="kx-axis" d="M0 {middle:g}H{_WIDTH:g}"/>',
    ]
    if row["interval"] and at(high) > at(low):
        parts.append(
            f'<path class="kx-interval" d="M{at(low):g} {middle:g}H{at(high):g}'
            f'M{at(low):g} {middle - 6:g}v12M{at(high):g} {middle - 6:g}v12"/>'
        )
    parts.append(f'<circle class="kx-mean" cx="{at(row["mean"]):g}" cy="{middle:g}" r="4.5"/>')
    return Markup(
        f'<svg class="kx-picture kx-{row["verdict"]}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(in_words(row))}">{"".join(parts)}</svg>'
    )


def in_words(row: Mapping[str, Any]) -> str:
    """What the picture shows, for readers who do not see it."""
    where = {
        "reproduced": "all of it inside",
        "refuted": "all of it outside",
        "inconclusive": "not decided against",
        "untested": "not measured at the needed scale for",
    }[row["verdict"]]
    return f"Measured {measured(row)}; {where} the expected values {row['expect']}."
