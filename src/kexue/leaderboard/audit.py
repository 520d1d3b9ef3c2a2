"""Recompute the averages that a table prints, and flag those that do not follow from its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kexue.leaderboard.means import MEANS, power_mean


def audit(
    table: pd.DataFrame,
    printed: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    *,
    decimals: int = 1,
    cell_decimals: int = 1,
) -> pd.DataFrame:
    r"""Compare every printed mean with the mean of the columns it is said to average.

    A mean is flagged when no cells that round to those of the table could give a mean that rounds to the printed one:

    $$|\text{printed} - M_p(x)| > \tfrac12 10^{-d} + \tfrac12 10^{-c}\, L,$$

    where L bounds the slope of the mean (1 for AM; M/min x for GM and its square for HM).

    Args:
        table: scores, one line a row, one column a task; NaN marks a missing cell.
        printed: the printed means, same lines, columns among "AM", "GM", "HM"; NaN where nothing is printed.
        columns: for each printed mean, the columns it is said to average.
        decimals: decimals of the printed means.
        cell_decimals: decimals of the cells.

    Returns:
        One line a printed mean: row, mean, printed, recomputed (NaN where a cell is missing or the mean not
            defined), difference, allowed, flag: "" (it follows), "differs" or "undefined".

    Raises:
        ValueError: other lines in the two tables, an unknown mean, or a column that is not there.
    """
    if not table.index.equals(printed.index):
        raise ValueError(f"table and printed must have the same lines, got {len(table)} and {len(printed)}")
    lines = []
    for mean in printed.columns:
        if mean not in MEANS or mean not in columns:
            raise ValueError(
                f"printed mean {mean!r} must be one of {list(MEANS)} and have columns, got {list(columns)}"
            )
        absent = [name for name in columns[mean] if name not in table.columns]
        if absent:
            raise ValueError(f"columns {absent} are not in the table, which has {list(table.columns)}")
        cells = table[list(columns[mean])].to_numpy(dtype=np.float64)
        values = power_mean(cells, MEANS[mean], zeros="limit", negatives="undefined", missing="undefined")
        for line, value, row in zip(table.index, values, cells, strict=True):
            claimed = float(printed.loc[line, mean])
            if np.isnan(claimed):
                continue
            slope = (value / row.min()) ** (1.0 - MEANS[mean]) if value > 0 else 1.0
            allowed = 0.5 * 10.0**-decimals + 0.5 * 10.0**-cell_decimals * slope + 1e-9
            difference = claimed - float(value)
            flag = "undefined" if np.isnan(value) else "differs" if abs(difference) > allowed else ""
            lines.append((line, mean, claimed, float(value), difference, allowed, flag))
    return pd.DataFrame(
        lines, columns=["row", "mean", "printed", "recomputed", "difference", "allowed", "flag"]
    )
