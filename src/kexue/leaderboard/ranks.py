"""Ranks with explicit ties and missing values, margins, agreement of two rankings, dominance."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from kexue.arrays import Numbers, array

TIE_DECIMALS = 9  # boards print one decimal: equal means of it differ by the rounding of floats alone
TiePolicy = Literal["min", "average", "max", "dense"]


def ranks(
    values: Float64[np.ndarray, "*draws rows"] | Numbers,
    *,
    ties: TiePolicy = "min",
    missing: Literal["refuse", "unranked"] = "refuse",
) -> Float64[np.ndarray, "*draws rows"]:
    """Rank the last axis, 1 for the largest value; values that agree to nine decimals tie.

    Args:
        values: one score a row, shape (*draws, rows); NaN where a row has none.
        ties: how equal values share ranks: "min" (1, 1, 3), "average" (1.5, 1.5, 3), "max" (2, 2, 3) or
            "dense" (1, 1, 2).
        missing: "refuse" raises, "unranked" gives a missing value rank NaN and ranks the others.

    Returns:
        Ranks, shape (*draws, rows).

    Raises:
        ValueError: an unknown policy, no rows, or a missing value that is refused.

    Source: scipy.stats.rankdata, turned so that more is better.
    """
    values = array("values", values)
    if ties not in ("min", "average", "max", "dense"):
        raise ValueError(f"ties={ties!r} is no policy, wanted 'min', 'average', 'max' or 'dense'")
    if missing not in ("refuse", "unranked"):
        raise ValueError(f"missing={missing!r} is no policy, wanted 'refuse' or 'unranked'")
    if values.shape[-1] == 0:
        raise ValueError(f"values needs at least one row to rank, got shape {values.shape}")
    if missing == "refuse" and np.isnan(values).any():
        raise ValueError(
            f"values has {int(np.isnan(values).sum())} missing; pass missing='unranked' to rank the rest"
        )
    rounded = np.round(values, TIE_DECIMALS)
    return np.asarray(stats.rankdata(-rounded, method=ties, axis=-1, nan_policy="omit"), dtype=np.float64)


def margin(values: Float64[np.ndarray, "*draws rows"] | Numbers, row: int) -> Float64[np.ndarray, "*draws"]:
    """The lead of one row over the best of the others (negative where it trails).

    Args:
        values: one score a row, shape (*draws, rows); a NaN of another row counts as not competing.
        row: the index of the row.

    Returns:
        values[row] - max of the others, shape (*draws,); NaN where the row itself has no value.

    Raises:
        ValueError: fewer than two rows, or no other row with a value.
    """
    values = array("values", values)
    others = np.delete(values, row, axis=-1)
    if others.shape[-1] == 0 or np.isnan(others).all(axis=-1).any():
        raise ValueError(f"margin needs another row with a value, got values of shape {values.shape}")
    return np.asarray(values[..., row] - np.nanmax(others, axis=-1))


def kendall_tau(
    first: Float64[np.ndarray, " rows"] | Numbers, second: Float64[np.ndarray, " rows"] | Numbers
) -> float:
    """Kendall's tau-b between two scorings of the same rows.

    Args:
        first: scores, shape (rows,), no missing value.
        second: other scores of the same rows, shape (rows,), no missing value.

    Returns:
        tau-b in [-1, 1].

    Raises:
        ValueError: a missing value, or a constant scoring (tau is not defined).

    Source: scipy.stats.kendalltau.
    """
    first = array("first", first)
    second = array("second", second)
    tau = float(stats.kendalltau(first, second, nan_policy="raise").statistic)
    if np.isnan(tau):
        raise ValueError(f"tau is not defined for {first.size} rows when a scoring is constant")
    return tau


def discordant_pairs(
    first: Float64[np.ndarray, " rows"] | Numbers, second: Float64[np.ndarray, " rows"] | Numbers
) -> int:
    """Count the pairs of rows that the two scorings put in opposite strict order.

    Args:
        first: scores, shape (rows,).
        second: other scores of the same rows, shape (rows,).

    Returns:
        The number of reversed pairs; a tie in either scoring reverses nothing.
    """
    first = array("first", first)
    second = array("second", second)
    opposite = np.sign(first[:, None] - first[None, :]) * np.sign(second[:, None] - second[None, :]) < 0
    return int(opposite.sum()) // 2


def dominance(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Bool[np.ndarray, "rows rows"]:
    """Mark which row is at least as good as which on every task and better on one (Pareto dominance).

    No strictly monotone mean, whatever its exponent or weights, puts a dominated row above its dominator.

    Args:
        table: scores, shape (rows, tasks), no missing cell.

    Returns:
        ``result[i, j]`` is True where row i dominates row j, shape (rows, rows).

    Raises:
        ValueError: a missing cell.
    """
    table = array("table", table)
    if np.isnan(table).any():
        raise ValueError(
            f"table has {int(np.isnan(table).sum())} missing cells; dominance needs complete rows"
        )
    at_least = (table[:, None, :] >= table[None, :, :]).all(axis=-1)
    better = (table[:, None, :] > table[None, :, :]).any(axis=-1)
    return np.asarray(at_least & better)
