"""Every subset of tasks at once: means, ranks over the power, and which of two choices moves a rank more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from kexue.arrays import Numbers, array
from kexue.leaderboard.means import power_mean
from kexue.leaderboard.ranks import ranks

_MOST_TASKS = 16
"""2^16 subsets of a table with 100 rows fit in memory; beyond that draw subsets instead of listing them."""

_MOST_CELLS = 1_000_000
"""Cells averaged in one call, which bounds the memory to some ten megabytes."""


def subset_masks(tasks: int) -> Bool[np.ndarray, "subsets tasks"]:
    """List all subsets of the tasks, the empty one first, in binary order.

    Args:
        tasks: the number of tasks m, from 1 to 16.

    Returns:
        Masks, shape (2^m, m); row k holds the binary digits of k, task i being bit i.

    Raises:
        ValueError: m out of range.
    """
    if not 1 <= tasks <= _MOST_TASKS:
        raise ValueError(f"tasks must be from 1 to {_MOST_TASKS} to list all subsets, got {tasks}")
    return np.asarray((np.arange(2**tasks)[:, None] >> np.arange(tasks)) & 1, dtype=bool)


def subset_means(
    table: Float64[np.ndarray, "rows tasks"] | Numbers, masks: Bool[np.ndarray, "subsets tasks"], power: float
) -> Float64[np.ndarray, "subsets rows"]:
    """Take the power mean of every row over every subset of tasks.

    Args:
        table: scores, shape (rows, tasks), complete; positive if power <= 0 (see ``power_mean``).
        masks: which tasks count, shape (subsets, tasks), none of them empty.
        power: the exponent p.

    Returns:
        Means, shape (subsets, rows), in the unit of the scores.

    Raises:
        ValueError: an empty subset, or a cell that ``power_mean`` refuses.
    """
    table = array("table", table)
    if not masks.any(axis=1).all():
        raise ValueError("masks holds an empty subset, which has no mean; leave it out")
    if np.isnan(table).any():
        raise ValueError(f"table has {int(np.isnan(table).sum())} missing cells; choose complete rows first")
    means = np.empty((len(masks), table.shape[0]))
    step = max(1, _MOST_CELLS // table.size)
    for start in range(0, len(masks), step):
        chosen = np.where(masks[start : start + step, None, :], table, np.nan)
        means[start : start + step] = power_mean(chosen, power, missing="skip")
    return means


def phase_diagram(
    table: Float64[np.ndarray, "rows tasks"] | Numbers,
    masks: Bool[np.ndarray, "sets tasks"],
    powers: Sequence[float],
    row: int,
) -> Float64[np.ndarray, "sets powers"]:
    """Rank one row for every task set and every power.

    Args:
        table: scores, shape (rows, tasks), complete and positive.
        masks: the task sets, shape (sets, tasks).
        powers: the exponents, ±inf allowed.
        row: the index of the row to follow.

    Returns:
        Its rank (1 best; ties share the better rank), shape (sets, powers).
    """
    table = array("table", table)
    columns = [ranks(subset_means(table, masks, power))[:, row] for power in powers]
    return np.stack(columns, axis=1)


def variance_shares(values: Float64[np.ndarray, "first second"] | Numbers) -> dict[str, float]:
    r"""Split the variance of a two-way table into its row effect, column effect and interaction.

    $$y_{ij} = \mu + a_i + b_j + e_{ij}.$$

    Args:
        values: one number for each pair of choices, shape (first, second), complete.

    Returns:
        Shares of the total sum of squares: "first", "second", "interaction"; they sum to 1.

    Raises:
        ValueError: a constant table (nothing to split) or a missing value.

    Source: two-way analysis of variance without replication.
    """
    values = array("values", values)
    centred = values - values.mean()
    total = float((centred**2).sum())
    if not total > 0:
        raise ValueError(
            f"values of shape {values.shape} do not vary or hold NaN; there is no variance to split"
        )
    first = float((centred.mean(axis=1) ** 2).sum() * values.shape[1]) / total
    second = float((centred.mean(axis=0) ** 2).sum() * values.shape[0]) / total
    return {"first": first, "second": second, "interaction": 1.0 - first - second}
