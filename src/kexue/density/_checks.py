"""What several modules of this package refuse, in one place and by name."""

from __future__ import annotations

import math


def count(name: str, value: int, *, at_least: int = 1) -> int:
    """An integer ≥ `at_least`, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be an integer ≥ {at_least}, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """A finite number > 0, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)
