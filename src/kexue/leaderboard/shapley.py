"""The exact Shapley value: what each task brings to an outcome, averaged over all orders of adding tasks."""

from __future__ import annotations

from math import factorial

import numpy as np
from jaxtyping import Float64

from kexue.arrays import Numbers, array
from kexue.leaderboard.ranks import margin
from kexue.leaderboard.subsets import subset_masks, subset_means


def shapley_values(worth: Float64[np.ndarray, " subsets"] | Numbers) -> Float64[np.ndarray, " tasks"]:
    r"""Share the worth of the full set among its members.

    $$\phi_i = \sum_{S \not\ni i} \frac{|S|!\,(m-|S|-1)!}{m!}\,\big(v(S\cup\{i\}) - v(S)\big).$$

    Args:
        worth: v(S) for every subset, shape (2^m,), in the order of ``subset_masks`` (the empty set first).

    Returns:
        Values, shape (m,), in the unit of v; they sum to v(all) - v(empty).

    Raises:
        ValueError: the size is no power of two, or a worth is not finite.

    Source: Shapley, A value for n-person games, 1953.
    """
    worth = array("worth", worth)
    tasks = worth.size.bit_length() - 1
    if tasks < 1 or worth.size != 2**tasks:
        raise ValueError(f"worth needs one number for each of 2^m subsets with m >= 1, got {worth.size}")
    if not np.isfinite(worth).all():
        raise ValueError(f"worth holds {int((~np.isfinite(worth)).sum())} numbers that are not finite")
    masks = subset_masks(tasks)
    size = masks.sum(axis=1)
    weight = np.array([factorial(k) * factorial(tasks - k - 1) / factorial(tasks) for k in range(tasks)])
    values = np.empty(tasks)
    for task in range(tasks):
        without = np.flatnonzero(~masks[:, task])
        values[task] = (weight[size[without]] * (worth[without + 2**task] - worth[without])).sum()
    return values


def margin_shapley(
    table: Float64[np.ndarray, "rows tasks"] | Numbers, row: int, power: float
) -> Float64[np.ndarray, " tasks"]:
    """Share one row's lead over the best other row among the tasks; the empty set is worth 0.

    Args:
        table: scores, shape (rows, tasks), complete; positive if power <= 0.
        row: the index of the row.
        power: the exponent of the mean.

    Returns:
        Values, shape (tasks,), in the unit of the scores; they sum to the lead over all tasks.
    """
    table = array("table", table)
    masks = subset_masks(table.shape[1])
    leads = margin(subset_means(table, masks[1:], power), row)
    return shapley_values(np.concatenate([[0.0], leads]))
