"""Social choice: every task is a voter who orders the systems by score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from kexue.arrays import Numbers, array
from kexue.leaderboard.ranks import ranks


def _complete(table: Float64[np.ndarray, "rows tasks"]) -> Float64[np.ndarray, "rows tasks"]:
    if table.shape[0] == 0 or table.shape[1] == 0 or np.isnan(table).any():
        raise ValueError(
            f"table must be complete and not empty, got shape {table.shape} "
            f"with {int(np.isnan(table).sum())} missing cells"
        )
    return table


def pairwise_support(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Float64[np.ndarray, "rows rows"]:
    """Count the tasks that prefer one row to another; a tie gives half a task to each side.

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        ``result[i, j]`` tasks prefer row i to row j, shape (rows, rows); 0 on the diagonal.
    """
    table = array("table", table)
    table = _complete(table)
    support = (table[:, None, :] > table[None, :, :]).sum(-1) + 0.5 * (
        table[:, None, :] == table[None, :, :]
    ).sum(-1)
    np.fill_diagonal(support, 0.0)
    return np.asarray(support)


def borda(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Float64[np.ndarray, " rows"]:
    """Borda count: a row earns from each task the number of rows it beats there (half for a tie).

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        Points, shape (rows,); they sum to tasks * rows * (rows - 1) / 2.

    Source: Colombo et al., arXiv 2202.03799 (as the approximation of Kemeny's consensus).
    """
    table = array("table", table)
    return np.asarray(pairwise_support(table).sum(axis=1))


def plurality(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Float64[np.ndarray, " rows"]:
    """Plurality: each task gives one vote to its best row; rows tied at the top share it.

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        Votes, shape (rows,); they sum to the number of tasks.

    Source: Rofin et al., Vote'n'Rank, EACL 2023.
    """
    table = array("table", table)
    top = _complete(table) == table.max(axis=0)
    return np.asarray((top / top.sum(axis=0)).sum(axis=1))


def dowdall(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Float64[np.ndarray, " rows"]:
    """Dowdall: the k-th place of a task is worth 1/k; tied rows share the mean worth of the places they take.

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        Points, shape (rows,); each task hands out the harmonic number of the number of rows.

    Source: Rofin et al., Vote'n'Rank, EACL 2023.
    """
    table = array("table", table)
    scores = _complete(table).T
    best = ranks(np.ascontiguousarray(scores), ties="min").astype(int)
    worst = ranks(np.ascontiguousarray(scores), ties="max").astype(int)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, table.shape[0] + 1))])
    return np.asarray(((harmonic[worst] - harmonic[best - 1]) / (worst - best + 1)).sum(axis=0))


def copeland(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> Float64[np.ndarray, " rows"]:
    """Copeland: duels won minus duels lost, a duel being won by the row that more tasks prefer.

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        Net duels, shape (rows,), from -(rows - 1) to rows - 1; they sum to 0.

    Source: Rofin et al., Vote'n'Rank, EACL 2023.
    """
    table = array("table", table)
    support = pairwise_support(table)
    return np.asarray(np.sign(support - support.T).sum(axis=1))


def condorcet_winner(table: Float64[np.ndarray, "rows tasks"] | Numbers) -> int | None:
    """The row that wins its duel against every other row, if there is one.

    Args:
        table: scores, shape (rows, tasks), complete.

    Returns:
        The index of the Condorcet winner, or None.

    Source: Rofin et al., Vote'n'Rank, EACL 2023.
    """
    table = array("table", table)
    net = copeland(table)
    best = int(net.argmax())
    return best if net[best] == table.shape[0] - 1 else None
