"""What every function of this package refuses, in one place and by name."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kexue.checks import call_for, described

LEAST_SPREAD = (
    1e-150  # of the largest distance: the squares of much smaller ones lose their digits, then vanish
)
MASS_TOLERANCE = 1e-5  # a float32 softmax over thousands of points sums to one no better than this


def points(name: str, value: Tensor) -> None:
    """A non-empty table of finite floating-point coordinates, one point a row.

    Args:
        name: the argument's name, for the message.
        value: what came.

    Raises:
        TypeError: for anything but a floating-point tensor.
        ValueError: for the wrong number of axes, no point, no coordinate, NaN or infinity.
    """
    table(name, value)
    if not finite(value):
        raise ValueError(f"{name} must be finite, got NaN or infinity in {bad_rows(value)}")


def table(name: str, value: Tensor) -> None:
    """As `points`, without a look at the entries."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(
            f"{name} must be a floating-point tensor, got {described(value)}: give {call_for(name, value)}"
        )
    shape = value.shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must have shape (points ≥ 1, coordinates ≥ 1), got {tuple(shape)}")


def finite(value: Tensor) -> bool:
    """Whether all entries are finite: a finite sum proves it ten times as fast as looking at each."""
    return math.isfinite(float(value.detach().sum())) or bool(torch.isfinite(value).all())


def bad_rows(value: Tensor) -> str:
    """The rows with something that is not finite, for a message."""
    rows = (~torch.isfinite(value)).reshape(len(value), -1).any(1).nonzero().flatten().tolist()
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:3]))}{' …' if len(rows) > 3 else ''}"


def pair(x: Tensor, y: Tensor) -> None:
    """Two point sets that can be compared: the same coordinates, dtype and device.

    Raises:
        TypeError, ValueError: as `points`, and when the two do not fit together.
    """
    points("x", x)
    points("y", y)
    alike(x, y)


def tables(x: Tensor, y: Tensor) -> None:
    """As `pair`, without a look at the entries."""
    table("x", x)
    table("y", y)
    alike(x, y)


def stacks(x: Tensor, y: Tensor) -> None:
    """Two stacks of as many point sets, checked as one pair of `tables`."""
    for name, value in (("x", x), ("y", y)):
        if value.ndim != 3 or 0 in value.shape:
            raise ValueError(
                f"{name} must have shape (sets, points ≥ 1, coordinates ≥ 1), got {tuple(value.shape)}"
            )
    tables(x.flatten(0, 1), y.flatten(0, 1))


def spread(largest: float, x: Tensor, y: Tensor) -> None:
    """Two point sets whose distances a float64 can hold, each the root of a sum of squares.

    Args:
        largest: the largest distance that was computed.
        x: shape (n, d).
        y: shape (m, d).

    Raises:
        ValueError: for points that are not finite, or so far apart or so close together that the squares of their
            distances overflow or underflow. Points that all coincide are at distance zero.
    """
    if not math.isfinite(largest):
        points("x", x)
        points("y", y)
        raise ValueError("x and y must lie closer together: their distances overflow")
    if largest < LEAST_SPREAD and bool((torch.cat([x, y]) != x[0]).any()):
        raise ValueError(
            f"x and y must lie farther apart: the largest of their distances is {largest:g}, and the squares of those "
            f"below {LEAST_SPREAD:g} underflow; multiply both by a power of two"
        )


def alike(x: Tensor, y: Tensor) -> None:
    """Raise when x and y differ in their number of coordinates, dtype or device."""
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"x and y must have as many coordinates, got {tuple(x.shape[1:])} and {tuple(y.shape[1:])}"
        )
    if x.dtype != y.dtype or x.device != y.device:
        raise ValueError(
            f"x and y must share dtype and device, got {x.dtype} on {x.device} and {y.dtype} on {y.device}"
        )


def weights(name: str, value: Tensor, count: int) -> Tensor:
    """Masses that sum to one, in float64 and exactly normalised.

    Args:
        name: the argument's name, for the message.
        value: shape (count,), ≥ 0, sum 1 within 1e-5.
        count: the number of points.

    Returns:
        The masses divided by their sum, float64.

    Raises:
        ValueError: for another shape, NaN, a negative mass or another sum.
    """
    if value.shape != (count,):
        raise ValueError(f"{name} must have shape ({count},), one mass a point; got {tuple(value.shape)}")
    mass = value.detach().double()
    total = float(mass.sum())
    if not bool((mass >= 0).all()) or not abs(total - 1) <= MASS_TOLERANCE:
        raise ValueError(
            f"{name} must be non-negative and sum to 1, got sum {total:g}, least {float(mass.min()):g}"
        )
    return mass / total


def whole(name: str, value: int, at_least: int, at_most: int | None = None) -> int:
    """An integer in range, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least or (at_most is not None and value > at_most):
        wanted = f"≥ {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return value


def real(name: str, value: float, *, at_least: float = -math.inf, above: float = -math.inf) -> float:
    """A finite number in range, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not math.isfinite(value) or value < at_least or value <= above:
        bounds = [f"≥ {at_least:g}"] * (at_least > -math.inf) + [f"> {above:g}"] * (above > -math.inf)
        raise ValueError(
            f"{name} must be a finite number{' ' if bounds else ''}{', '.join(bounds)}, got {value!r}"
        )
    return float(value)


def potential(value: Tensor, x: Tensor) -> None:
    """One finite value a point of x, in its dtype and on its device.

    Raises:
        ValueError: otherwise.
    """
    if value.shape != (len(x),) or value.dtype != x.dtype or value.device != x.device:
        raise ValueError(
            f"potential must have shape ({len(x)},), {x.dtype} on {x.device}, as the points x; "
            f"got {tuple(value.shape)}, {value.dtype} on {value.device}"
        )
    if not finite(value):
        raise ValueError(f"potential must be finite, got NaN or infinity in {bad_rows(value)}")
