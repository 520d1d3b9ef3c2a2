"""Optimal assignment of n points to n points, and the prices that prove it optimal."""

from __future__ import annotations

import lap
import numpy as np
import ot
from jaxtyping import Float64, Int64

NETWORK_FROM = 3_000  # points; on planar clouds the network simplex overtakes Jonker–Volgenant about here
NETWORK_COORDINATES = 3
PIVOTS = 10**9  # the network simplex stops by itself; this only keeps POT's default from stopping it early


def assign(cost: Float64[np.ndarray, "n n"]) -> Int64[np.ndarray, " n"]:
    """The permutation σ that minimises Σ_i cost[i, σ(i)] (Jonker and Volgenant's algorithm).

    Args:
        cost: shape (n, n), finite, float64.

    Returns:
        The column of each row, shape (n,).
    """
    columns: np.ndarray = lap.lapjvr(cost, return_cost=False)[1]
    return columns


def assignment_costs(costs: Float64[np.ndarray, "k n n"]) -> Float64[np.ndarray, " k"]:
    """min_σ Σ_i cost[i, σ(i)] of each of k matrices.

    Args:
        costs: shape (k, n, n), finite, float64.

    Returns:
        The least costs, shape (k,).
    """
    totals: np.ndarray = lap.lapjvr_batch(costs, n_threads=1)[0]
    return totals


def network(
    cost: Float64[np.ndarray, "n m"], a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " m"]
) -> tuple[Float64[np.ndarray, "n m"], Float64[np.ndarray, " n"]]:
    """Optimal plan and row potentials between any two weight vectors, by network simplex (POT).

    Args:
        cost: shape (n, m), finite, float64.
        a: masses of the rows, all positive, sum 1.
        b: masses of the columns, all positive, sum 1.

    Returns:
        The plan, shape (n, m), and the potential of each row.

    Raises:
        RuntimeError: when the solver gives up.
    """
    shift = min(0.0, float(cost.min()))  # POT calls a problem infeasible whose costs are all negative
    plan, log = ot.emd(
        a,
        b,
        cost - shift if shift < 0 else cost,
        numItermax=PIVOTS,
        log=True,
        center_dual=False,
        check_marginals=False,
    )
    if log["warning"] is not None:
        raise RuntimeError(
            f"the network simplex did not finish on {cost.shape[0]} × {cost.shape[1]}: {log['warning']}"
        )
    return plan, log["u"] + shift


def prices(cost: Float64[np.ndarray, "n n"], columns: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Row potentials u of an optimal assignment: u_i + v_j ≤ cost_ij, with equality at (i, σ(i)).

    With p_i = v_σ(i) the conditions are p_k ≤ p_i + cost[i, σ(k)] − cost[i, σ(i)]: shortest paths from a source at
    distance zero from every vertex, found by relaxing the rows that changed (Bellman and Ford). They exist if and
    only if no cycle is negative, that is, if the assignment is optimal: the prices are its certificate.

    Args:
        cost: shape (n, n), float64.
        columns: the assignment σ, shape (n,).

    Returns:
        Potentials of the rows, shape (n,); those of the columns are min_i (cost_ij − u_i).

    Raises:
        ValueError: when the assignment is not optimal.

    Source: Ahuja, Magnanti and Orlin, Network Flows (1993), theorem 9.1 (negative cycle optimality).
    """
    n = len(cost)
    matched = cost[np.arange(n), columns]
    detour = cost[:, columns] - matched[:, None]
    rounding = 4 * np.finfo(np.float64).eps * max(float(np.abs(cost).max()), np.finfo(np.float64).tiny)
    price = detour.min(axis=0)
    changed = np.flatnonzero(price < -rounding)
    for _ in range(n):
        if not len(changed):
            potentials: np.ndarray = matched - price
            return potentials
        best = (detour[changed] + price[changed, None]).min(axis=0)
        changed = np.flatnonzero(best < price - rounding)
        price[changed] = best[changed]
    raise ValueError("columns is not an optimal assignment: some cycle of exchanges lowers its cost")
