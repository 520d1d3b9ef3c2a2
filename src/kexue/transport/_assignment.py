"""Optimal assignment of n points to n points, and the prices that prove it optimal."""

from __future__ import annotations

import math
from functools import cache

import lap
import numpy as np
from jaxtyping import Float64, Int64

START_FROM = 128  # points; below, the solver is done before a start is found
CENTRE_FROM = 32  # points, from which centred rows pay
LARGE = 2_000  # points, from which a closer start pays
SOFTNESS = (
    0.03,
    0.02,
)  # ε as a share of the mean cost above the least of a row; of usual and of large problems
ROUNDS = 6, 20
OVERSHOOT = 1.5, 1.6  # each round goes so much farther than Sinkhorn's: ε is too small for his to settle
FLOOR = -60.0  # of exponents: what is smaller cannot matter, and would be slow as a subnormal number
PIVOTS = 10**9  # the network simplex stops by itself; this only keeps POT's default from stopping it early


def assign(cost: Float64[np.ndarray, "n n"]) -> Int64[np.ndarray, " n"]:
    """The permutation σ that minimises Σ_i cost[i, σ(i)]: Jonker and Volgenant's algorithm from an entropic start.

    Subtracting u_i from a row and v_j from a column changes the total of every permutation alike, so any u and v give
    the same optimum. Good ones leave little to be searched: `start` finds them at a fraction of the price.

    Args:
        cost: shape (n, n), finite, float64.

    Returns:
        The column of each row, shape (n,).
    """
    if len(cost) >= START_FROM and (found := start(cost)) is not None:
        u, v = found
        cost = cost - u[:, None]
        cost -= v
    columns: np.ndarray = lap.lapjvr(cost, return_cost=False)[1]
    return columns


def start(
    cost: Float64[np.ndarray, "n n"],
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]] | None:
    """Potentials near the optimal ones, from a few over-relaxed Sinkhorn rounds in float32; nothing is promised of them.

    Args:
        cost: shape (n, n), finite, float64.

    Returns:
        u and v, shape (n,); None where costs do not differ, or float32 cannot hold them.

    Source: Thibault et al. 2021, arXiv 1711.01851, for the over-relaxation.
    """
    large = len(cost) >= LARGE
    overshoot = OVERSHOOT[large]
    with np.errstate(all="ignore"):
        kernel = cost.astype(np.float32)
        least = kernel.min(axis=1)
        kernel -= least[:, None]
        epsilon = SOFTNESS[large] * float(kernel.mean())
        if not 0 < epsilon < np.inf:
            return None
        kernel *= np.float32(-1 / epsilon)
        np.exp(np.maximum(kernel, np.float32(FLOOR), out=kernel), out=kernel)
        b = 1 / kernel.sum(axis=0)
        a = 1 / (kernel @ b)
        for _ in range(ROUNDS[large] - 1):
            b = b ** (1 - overshoot) * (a @ kernel) ** -overshoot
            a = a ** (1 - overshoot) * (kernel @ b) ** -overshoot
        u, v = least + epsilon * np.log(a.astype(np.float64)), epsilon * np.log(b.astype(np.float64))
    return (u, v) if np.isfinite(u).all() and np.isfinite(v).all() else None


def least_cost(cost: Float64[np.ndarray, "n n"], *, levels: bool = False) -> float:
    """min_σ Σ_i cost[i, σ(i)].

    Args:
        cost: shape (n, n), finite, float64.
        levels: whether rows differ in their level, as distances in many coordinates do. The mean of each is then taken off
            where that pays: it changes all totals alike, and columns no longer fight over the low rows.

    Returns:
        The least cost.
    """
    n = len(cost)
    if n >= START_FROM:
        columns = assign(cost)
    elif levels and n >= CENTRE_FROM:
        columns = lap.lapjvr(cost - (cost @ _shares(n))[:, None], return_cost=False)[1]
    else:
        return float(lap.lapjvr(cost)[0])
    return float(cost[np.arange(n), columns].sum())


def least_costs(costs: Float64[np.ndarray, "k n n"], *, levels: bool = False) -> Float64[np.ndarray, " k"]:
    """`least_cost` of each of k matrices.

    Args:
        costs: shape (k, n, n), finite, float64.
        levels: as there.

    Returns:
        The least costs, shape (k,).
    """
    n = costs.shape[1]
    if n >= START_FROM:
        return np.array([least_cost(cost) for cost in costs])
    if not levels or n < CENTRE_FROM:
        totals: np.ndarray = lap.lapjvr_batch(costs, n_threads=1)[0]
        return totals
    columns = np.array(lap.lapjvr_batch(costs - (costs @ _shares(n))[..., None], n_threads=1)[2])
    chosen: np.ndarray = np.take_along_axis(costs, columns[..., None], axis=2)
    return np.asarray(chosen.sum(axis=(1, 2)))


@cache
def _shares(n: int) -> np.ndarray:
    """1/n each: a product with it is a mean, at a fraction of what numpy's takes for so few."""
    return np.full(n, 1 / n)


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
    import ot  # late: seconds, for what sets of one size with equal masses never need

    # POT's tolerances are absolute: for it the largest cost lies between ½ and 1, by a power of two, which is exact
    exponent = math.frexp(float(np.abs(cost).max()))[1]
    scaled = np.ldexp(cost, -exponent)
    shift = min(0.0, float(scaled.min()))  # POT calls a problem infeasible whose costs are all negative
    plan, log = ot.emd(
        a,
        b,
        scaled - shift if shift < 0 else scaled,
        numItermax=PIVOTS,
        log=True,
        center_dual=False,
        check_marginals=False,
    )
    if log["warning"] is not None:
        raise RuntimeError(
            f"the network simplex did not finish on {cost.shape[0]} × {cost.shape[1]}: {log['warning']}"
        )
    return plan, np.ldexp(log["u"] + shift, exponent)


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
