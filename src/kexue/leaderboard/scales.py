"""The same scores on other scales: against a reference, as errors, as log-odds, as agreement."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from kexue.arrays import Numbers, array


def normalise(
    table: Float64[np.ndarray, "rows tasks"] | Numbers, reference: int
) -> Float64[np.ndarray, "rows tasks"]:
    """Divide every task by the score of a reference row.

    The geometric mean of the ratios is G(x/r) = G(x)/G(r): its order does not depend on the reference.
    The arithmetic mean of the ratios weighs task i by 1/r_i: its order does.

    Args:
        table: scores, shape (rows, tasks).
        reference: the index of the reference row.

    Returns:
        Ratios, shape (rows, tasks); 1 in the reference row.

    Raises:
        ValueError: the reference row has a cell that is missing or not positive.

    Source: Fleming & Wallace, CACM 29(3), 1986.
    """
    table = array("table", table)
    base = table[reference]
    if not (base > 0).all():
        raise ValueError(f"row {reference} cannot be the reference: it needs positive scores, got {base}")
    return np.asarray(table / base)


def error_rates(table: Float64[np.ndarray, "*rows tasks"] | Numbers) -> Float64[np.ndarray, "*rows tasks"]:
    """Turn percent scores into percent errors, 100 - x.

    Args:
        table: percent scores in [0, 100], shape (*rows, tasks); NaN stays NaN.

    Returns:
        Percent errors, shape (*rows, tasks).

    Raises:
        ValueError: a score outside [0, 100].
    """
    table = array("table", table)
    if ((table < 0) | (table > 100)).any():
        raise ValueError(
            f"an error rate needs scores in [0, 100], got {np.nanmin(table)} to {np.nanmax(table)}"
        )
    return np.asarray(100.0 - table)


def logits(
    table: Float64[np.ndarray, "*rows tasks"] | Numbers, sizes: Float64[np.ndarray, " tasks"] | Numbers
) -> Float64[np.ndarray, "*rows tasks"]:
    r"""Turn percent scores into log-odds, with half an item added to each side so that 0 and 100 stay finite.

    $$\ell = \log\frac{k + 1/2}{n - k + 1/2},\qquad k = n\,x/100 .$$

    Args:
        table: percent scores in [0, 100], shape (*rows, tasks).
        sizes: items in each test set, shape (tasks,).

    Returns:
        Log-odds (natural logarithm), shape (*rows, tasks).

    Raises:
        ValueError: a score outside [0, 100], or a size below 1.

    Source: the empirical logit, Haldane 1956, Anscombe 1956.
    """
    table = array("table", table)
    sizes = array("sizes", sizes)
    if ((table < 0) | (table > 100)).any():
        raise ValueError(f"log-odds need scores in [0, 100], got {np.nanmin(table)} to {np.nanmax(table)}")
    if sizes.shape != table.shape[-1:] or not (sizes >= 1).all():
        raise ValueError(f"sizes must be {table.shape[-1]} numbers of items, at least 1, got {sizes}")
    correct = sizes * table / 100.0
    return np.asarray(np.log((correct + 0.5) / (sizes - correct + 0.5)))


def agreement(correlation: Float64[np.ndarray, "*cells"] | Numbers) -> Float64[np.ndarray, "*cells"]:
    """Map a correlation in percent from [-100, 100] onto [0, 100] by (100 + x) / 2, where means are defined.

    Args:
        correlation: percent correlations (Matthews, Pearson), shape (*cells,).

    Returns:
        Percent agreement, shape (*cells,): -100 → 0, 0 → 50, 100 → 100.

    Raises:
        ValueError: a value outside [-100, 100].
    """
    correlation = array("correlation", correlation)
    if (np.abs(correlation) > 100).any():
        raise ValueError(
            f"a correlation lies in [-100, 100], got {correlation[np.abs(correlation) > 100][0]}"
        )
    return np.asarray((100.0 + correlation) / 2.0)
