"""The region of the real line in which a measured quantity must lie for a claim to hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

WANTED = "≥ 2, ≤ 0, > 0, < 1, = 3, = 0.8 ± 0.1 or in [1, 2]"

_BOUND = re.compile(r"(≥|≤|>=|<=|>|<)\s*(\S+)")
_NEAR = re.compile(r"=\s*([^\s±]+)(?:\s*(?:±|\s\+-\s)\s*([^\s±]+))?")
_BETWEEN = re.compile(r"in\s*\[\s*([^\s,\]]+)\s*,\s*([^\s,\]]+)\s*\]")
_SIGNS = {">=": "≥", "<=": "≤"}


@dataclass(frozen=True)
class Expectation:
    """An interval of the real line; `None` leaves a side open to infinity.

    Args:
        low: the lower edge, or None.
        high: the upper edge, or None.
        text: the expectation as a reader sees it, such as "≥ 2".
        strict: whether the edges are outside, as in "> 0".
    """

    low: float | None
    high: float | None
    text: str
    strict: bool = False

    def contains(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies inside the expectation."""
        return not (self._below(low) or self._above(high))

    def excludes(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies outside the expectation."""
        return self._below(high) or self._above(low)

    def _below(self, value: float) -> bool:
        return self.low is not None and (value < self.low or (self.strict and value == self.low))

    def _above(self, value: float) -> bool:
        return self.high is not None and (value > self.high or (self.strict and value == self.high))


def read_expectation(text: str) -> Expectation:
    """The expectation that a text such as "≥ 2" or "= 0.8 ± 0.1" states.

    The edges of a ± are computed in decimal and rounded once, so that 0.8 ± 0.1 contains what Python reads as 0.7.

    Raises:
        ValueError: saying what came and what is wanted.
    """
    stripped = text.strip()
    if found := _BOUND.fullmatch(stripped):
        sign, number = _SIGNS.get(found[1], found[1]), found[2]
        bound = float(_decimal(number))
        low, high = (bound, None) if sign in "≥>" else (None, bound)
        return Expectation(low, high, f"{sign} {number}", strict=sign in "><")
    if found := _NEAR.fullmatch(stripped):
        target, tolerance = _decimal(found[1]), _decimal(found[2] or "0")
        if tolerance < 0:
            raise ValueError(f"the tolerance must be ≥ 0, got {found[2]}")
        shown = f"= {found[1]} ± {found[2]}" if found[2] else f"= {found[1]}"
        return Expectation(float(target - tolerance), float(target + tolerance), shown)
    if found := _BETWEEN.fullmatch(stripped):
        least, most = _decimal(found[1]), _decimal(found[2])
        if least > most:
            raise ValueError(f"the lower edge must not exceed the upper one, got {stripped!r}")
        return Expectation(float(least), float(most), f"in [{found[1]}, {found[2]}]")
    raise ValueError(f"must be one of {WANTED}; got {text!r}")


def _decimal(text: str) -> Decimal:
    """A finite number as Python reads it, without rounding."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"needs finite numbers such as 0.5 or 1e-3, got {text!r}")
    return number
