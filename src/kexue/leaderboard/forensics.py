"""Which columns and which mean reproduce a printed average, and how often others do so by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from kexue.leaderboard.means import MEANS
from kexue.leaderboard.subsets import subset_masks, subset_means


class Explanation(NamedTuple):
    """One way to obtain a printed average.

    Args:
        convention: how metrics became columns, the key of its table ("pair first", "all metrics").
        mean: the name of the mean, "AM", "GM" or "HM".
        columns: the columns that were averaged.
    """

    convention: str
    mean: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Candidates:
    """Every explanation there is for one table, and what each would print for each row.

    Args:
        explanations: all of them, in a fixed order.
        values: what each explanation gives each row before rounding, shape (explanations, rows); NaN where
            the row has a missing cell among its columns, or one the mean cannot take.
    """

    explanations: tuple[Explanation, ...]
    values: Float64[np.ndarray, "explanations rows"]


def candidates(
    tables: Mapping[str, tuple[Sequence[str], Float64[np.ndarray, "rows columns"]]],
    *,
    means: Sequence[str] = ("AM", "GM", "HM"),
) -> Candidates:
    """List every non-empty column subset with every mean, under every convention.

    Args:
        tables: for each convention the column names and the scores, shape (rows, columns), the same rows
            in each. A missing cell makes every subset that uses it impossible for that row only.
        means: the names of the means to try.

    Returns:
        The candidates: (2^columns - 1) * means for each convention.

    Raises:
        ValueError: an unknown mean, or tables with different numbers of rows.
    """
    unknown = [mean for mean in means if mean not in MEANS]
    if unknown:
        raise ValueError(f"means {unknown} are unknown, wanted some of {list(MEANS)}")
    if len({table.shape[0] for _, table in tables.values()}) != 1:
        raise ValueError(
            f"tables must have the same rows, got {[table.shape for _, table in tables.values()]}"
        )
    explanations: list[Explanation] = []
    values: list[Float64[np.ndarray, "subsets rows"]] = []
    for convention, (columns, table) in tables.items():
        masks = subset_masks(len(columns))[1:]
        for mean in means:
            unusable = np.isnan(table) | (table <= 0 if MEANS[mean] <= 0 else False)
            averages = subset_means(np.where(unusable, 1.0, table), masks, MEANS[mean])
            averages[(masks[:, None, :] & unusable).any(axis=2)] = np.nan
            values.append(averages)
            explanations += [
                Explanation(convention, mean, tuple(np.asarray(columns, dtype=object)[mask]))
                for mask in masks
            ]
    return Candidates(tuple(explanations), np.concatenate(values))


def matches(
    found: Candidates, printed: Mapping[int, float], *, decimals: int = 1, slack: float = 0.0
) -> Bool[np.ndarray, " explanations"]:
    """Mark the explanations that reproduce every printed average to the printed digit.

    Args:
        found: the candidates.
        printed: the printed average of each row index, at least one row.
        decimals: how many decimals are printed.
        slack: what to allow on top of half a unit of the last digit, in the unit of the scores
            (what the rounding of the cells can add to the error; 0 takes the cells as exact).

    Returns:
        A mask over the explanations; a row that an explanation cannot average matches nothing.

    Raises:
        ValueError: no printed average.
    """
    if not printed:
        raise ValueError("printed is empty: at least one printed average is needed")
    rows = list(printed)
    target = np.array([printed[row] for row in rows])
    tolerance = 0.5 * 10.0**-decimals + slack + 1e-9
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(found.values[:, rows] - target) <= tolerance).all(axis=1))


def coincidences(
    found: Candidates, rows: Sequence[int], *, decimals: int = 1
) -> Float64[np.ndarray, " explanations"]:
    """Count, if each explanation were the true one, how many others would print the same averages.

    Args:
        found: the candidates.
        rows: the rows whose averages are printed; more rows leave fewer coincidences.
        decimals: how many decimals are printed.

    Returns:
        For each explanation the number of others with the same rounded averages, shape (explanations,);
            NaN where the explanation cannot average one of the rows.
    """
    values = found.values[:, list(rows)]
    usable = np.isfinite(values).all(axis=1)
    counts = np.full(len(found.explanations), np.nan)
    # Half-way cases may round either way in the last bit of a float; the nudge sends all of them up.
    digits = np.floor(values[usable] * 10.0**decimals + 0.5 + 1e-7)
    group = np.zeros(len(digits), dtype=np.int64)
    for row in digits.T:  # number the distinct prints, one row at a time
        place = np.unique(row, return_inverse=True)[1]
        group = np.unique(group * (place.max(initial=0) + 1) + place, return_inverse=True)[1]
    counts[usable] = np.bincount(group)[group] - 1
    return counts
