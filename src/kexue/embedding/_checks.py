"""What every function of this package refuses, in one place and by name."""

from __future__ import annotations

import math

import numpy as np

type_real = (int, float, np.integer, np.floating)
Real = int | float | np.integer | np.floating


def real(name: str, value: Real, *, at_least: float | None = None, above: float | None = None) -> float:
    """The number as a float, or an error that names it.

    Args:
        name: the argument's name, for the message.
        value: what came.
        at_least: the smallest value allowed, if any.
        above: the largest value not allowed, if any.

    Raises:
        TypeError: when `value` is no real number.
        ValueError: when it is NaN, infinite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, type_real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    number = float(value)
    low = at_least if at_least is not None else above
    if not math.isfinite(number) or (low is not None and (number < low or number == above)):
        wanted = "" if low is None else f" {'≥' if above is None else '>'} {low:g}"
        raise ValueError(f"{name} must be a finite number{wanted}, got {value!r}")
    return number


def dimension(n: Real) -> float:
    """A dimension, n ≥ 2 (real: the formulas have no need of integers)."""
    return real("n", n, at_least=2)


def vocabulary(size: Real) -> float:
    """A number of words, N ≥ 2."""
    return real("vocabulary", size, at_least=2)


def norm_product(value: Real) -> float:
    """β = ‖u‖‖v‖ / n > 0."""
    return real("norm_product", value, above=0)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is among `allowed`, or an error that lists them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value
