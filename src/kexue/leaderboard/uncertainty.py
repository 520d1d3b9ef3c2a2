"""What a printed score leaves open: rounding to one decimal, and the finite test set behind it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from kexue.arrays import Numbers, array


def rounding_draws(
    table: Float64[np.ndarray, "*cells"] | Numbers,
    *,
    draws: int,
    generator: np.random.Generator,
    half_unit: float = 0.05,
    bounds: tuple[float, float] = (-100.0, 100.0),
) -> Float64[np.ndarray, "draws ..."]:
    """Draw scores that print as the table prints them: uniform within half a unit of the last digit.

    Args:
        table: printed scores, shape (*cells,), no missing cell.
        draws: how many tables to draw, at least 1.
        generator: the source of randomness.
        half_unit: half a unit of the last printed digit, in the unit of the scores (0.05 for one decimal).
        bounds: the smallest and largest possible score; a printed 100.0 is drawn from [99.95, 100].

    Returns:
        Tables, shape (draws, *cells).

    Raises:
        ValueError: draws < 1, half_unit < 0, a missing cell or one out of bounds.
    """
    table = array("table", table)
    _check(table, draws, bounds)
    if half_unit < 0:
        raise ValueError(f"half_unit must not be negative, got {half_unit}")
    low, high = np.maximum(table - half_unit, bounds[0]), np.minimum(table + half_unit, bounds[1])
    return np.asarray(generator.uniform(low, high, size=(draws, *table.shape)))


def sampling_draws(
    table: Float64[np.ndarray, "*rows tasks"] | Numbers,
    sizes: Float64[np.ndarray, "... tasks"] | Numbers,
    *,
    draws: int,
    generator: np.random.Generator,
) -> Float64[np.ndarray, "draws *rows tasks"]:
    r"""Draw the success rate behind each score from its Jeffreys posterior, a score being a share of items.

    $$\theta \mid k \sim \mathrm{Beta}\big(k + \tfrac12,\ n - k + \tfrac12\big),\qquad k = n\,x/100 .$$

    Rows are drawn independently though they answer the same items, so a difference of two rows comes out too
    noisy rather than too sure. F1 and correlation are no shares of items: for them this is an order of size.

    Args:
        table: percent scores in [0, 100], shape (*rows, tasks), no missing cell.
        sizes: items in each test set, shape (tasks,), or those each row was measured on, shape (*rows, tasks).
        draws: how many tables to draw, at least 1.
        generator: the source of randomness.

    Returns:
        Percent scores, shape (draws, *rows, tasks).

    Raises:
        ValueError: draws < 1, a size below 1, a missing cell or one out of [0, 100].

    Source: Brown, Cai & DasGupta, Interval estimation for a binomial proportion, 2001.
    """
    table = array("table", table)
    sizes = array("sizes", sizes)
    _check(table, draws, (0.0, 100.0))
    if sizes.shape not in (table.shape[-1:], table.shape) or not (sizes >= 1).all():
        raise ValueError(f"sizes must be {table.shape[-1]} numbers of items (a row), at least 1, got {sizes}")
    correct = sizes * table / 100.0
    return np.asarray(
        100.0 * generator.beta(correct + 0.5, sizes - correct + 0.5, size=(draws, *table.shape))
    )


def _check(table: Float64[np.ndarray, "*cells"], draws: int, bounds: tuple[float, float]) -> None:
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    outside = ~((table >= bounds[0]) & (table <= bounds[1]))
    if outside.any():
        raise ValueError(
            f"table has {int(outside.sum())} cells missing or outside {bounds}, the first {table[outside][0]}"
        )
