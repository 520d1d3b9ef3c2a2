"""The region of the real line in which a measured quantity must lie for a claim to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass


def _finite(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return value


@dataclass(frozen=True)
class Expectation:
    """A closed interval [low, high] of the real line; `None` leaves a side open to infinity.

    Args:
        low: smallest value inside, or None.
        high: largest value inside, or None.
        text: the expectation as a reader sees it, such as "≥ 2".
    """

    low: float | None
    high: float | None
    text: str

    def contains(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies inside the expectation."""
        return (self.low is None or low >= self.low) and (self.high is None or high <= self.high)

    def excludes(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies outside the expectation."""
        return (self.low is not None and high < self.low) or (self.high is not None and low > self.high)


def Below(bound: float) -> Expectation:
    """The measured quantity is at most `bound`."""
    return Expectation(None, _finite("bound", bound), f"≤ {bound:.10g}")


def Above(bound: float) -> Expectation:
    """The measured quantity is at least `bound`."""
    return Expectation(_finite("bound", bound), None, f"≥ {bound:.10g}")


def Between(low: float, high: float) -> Expectation:
    """The measured quantity lies in [low, high]."""
    if _finite("low", low) > _finite("high", high):
        raise ValueError(f"low must not exceed high, got low={low!r}, high={high!r}")
    return Expectation(low, high, f"in [{low:.10g}, {high:.10g}]")


def Near(target: float, tolerance: float) -> Expectation:
    """The measured quantity differs from `target` by at most `tolerance`."""
    if _finite("tolerance", tolerance) < 0:
        raise ValueError(f"tolerance must be ≥ 0, got {tolerance!r}")
    _finite("target", target)
    text = f"= {target:.10g}" if tolerance == 0 else f"= {target:.10g} ± {tolerance:.10g}"
    return Expectation(target - tolerance, target + tolerance, text)
