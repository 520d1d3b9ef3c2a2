"""Exact Wasserstein distance of finite point sets: one function, the right solver behind it.

Which solver wins was measured (`benchmarks/transport.py`): on a line sorting is enough; sets of equal size with equal
masses are an assignment problem, for Jonker and Volgenant's algorithm, from an entropic start where that pays; all other
masses go to the network simplex. Values are exact to the rounding of float64.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from kexue.checks import tensor
from kexue.transport import _assignment, _checks
from kexue.transport._line import line_potential, monotone_coupling
from kexue.transport.cost import FEW_COORDINATES, distances, euclidean

BATCH_ENTRIES = 2**17  # costs, or coordinates, handled at once in a batch: 1 MB stays in the cache
T = TypeVar("T")
Solver = Literal["sorting", "Jonker–Volgenant", "network simplex"]
JV: Solver = "Jonker–Volgenant"


class Coupling(NamedTuple):
    """A sparse coupling: mass[k] goes from x[rows[k]] to y[columns[k]].

    For uniform masses and equal sizes, rows = 0…n−1 and columns is the optimal assignment.
    """

    rows: Int64[Tensor, " k"]
    columns: Int64[Tensor, " k"]
    mass: Float64[Tensor, " k"]

    def dense(self, n: int, m: int) -> Float64[Tensor, "n m"]:
        """The coupling as a matrix of shape (n, m)."""
        matrix = self.mass.new_zeros(n, m)
        return matrix.index_put_((self.rows, self.columns), self.mass, accumulate=True)


class Potentials(NamedTuple):
    """Dual potentials: x[i] + y[j] ≤ c(x_i, y_j) for all pairs, with equality wherever the coupling has mass."""

    x: Float64[Tensor, " n"]
    y: Float64[Tensor, " m"]


class Transport(NamedTuple):
    """A solved transport problem: its value, and what was asked for besides."""

    value: float
    coupling: Coupling | None
    potentials: Potentials | None
    solver: Solver


def wasserstein(
    x: Float[Tensor | np.ndarray, "n d"],
    y: Float[Tensor | np.ndarray, "m d"],
    *,
    weights_x: Float[Tensor | np.ndarray, " n"] | None = None,
    weights_y: Float[Tensor | np.ndarray, " m"] | None = None,
    metric: Literal["euclidean"] | Float[Tensor | np.ndarray, "n m"] = "euclidean",
    coupling: bool = False,
    potentials: bool = False,
) -> Transport:
    """Exact W1 between two finite sets: min over couplings π of Σ π_ij c(x_i, y_j), c Euclidean by default.

    Args:
        x: points, shape (n, d), any floating dtype and device; a numpy array serves as well, here and below.
        y: points, shape (m, d), same dtype and device.
        weights_x: masses of x, shape (n,), sum 1 within 1e-5 (then normalised); default 1/n each.
        weights_y: masses of y, shape (m,); default 1/m each.
        metric: "euclidean", or a finite cost matrix of shape (n, m) that stands in its place.
        coupling: also return an optimal coupling.
        potentials: also return optimal dual potentials, feasible and tight up to rounding.

    Returns:
        The value as a float, and the rest on the device of x, masses and potentials in float64. No gradient passes:
            `oracle.exact_loss` has one.

    Raises:
        TypeError: for tensors that are not floating point.
        ValueError: for empty sets, NaN or infinity, shapes, dtypes or devices that do not fit, bad weights.

    Source: Kantorovich's linear programme; Stanczuk et al., arXiv 2103.01678, use it on mini-batches.
    """
    x, y = tensor("x", x), tensor("y", y)
    _checks.tables(x, y)
    (n, d), m = x.shape, y.shape[0]
    a = None if weights_x is None else _checks.weights("weights_x", tensor("weights_x", weights_x), n)
    b = None if weights_y is None else _checks.weights("weights_y", tensor("weights_y", weights_y), m)
    if isinstance(metric, str):
        if metric != "euclidean":
            raise ValueError(f'metric must be "euclidean" or a cost matrix, got {metric!r}')
        if d == 1:
            _checks.pair(x, y)
            x64, y64 = x.detach().double(), y.detach().double()
            return _on_a_line(x64[:, 0], y64[:, 0], a, b, coupling, potentials)
        costs = _costs(x, y)
        if n == m and a is None and b is None and not coupling and not potentials:
            return Transport(_assignment.least_cost(costs, levels=_many(d)) / n, None, None, JV)
        return _solve(costs, x.device, a, b, coupling, potentials)
    metric = tensor("metric", metric)
    if metric.shape != (n, m):
        raise ValueError(f"metric must have shape ({n}, {m}), a cost a pair; got {tuple(metric.shape)}")
    _checks.pair(x, y)
    _checks.points("metric", metric)
    table = np.ascontiguousarray(metric.detach().double().cpu().numpy())
    return _solve(table, x.device, a, b, coupling, potentials)


def wasserstein_batch(
    x: Float[Tensor | np.ndarray, "batch n d"] | Sequence[Tensor | np.ndarray],
    y: Float[Tensor | np.ndarray, "batch m d"] | Sequence[Tensor | np.ndarray],
    *,
    threads: int | None = None,
) -> Float64[Tensor, " batch"]:
    """Exact W1 of many pairs of sets with equal masses, on several threads (the solvers release Python's lock).

    Args:
        x: shape (batch, n, d), or a sequence of point sets of any sizes.
        y: shape (batch, m, d), or as many point sets.
        threads: number of threads; default one a processor, at most one a pair.

    Returns:
        W1(x[k], y[k]), shape (batch,), float64, on the CPU.

    Raises:
        TypeError, ValueError: as `wasserstein`; also when x and y differ in length.
    """
    x, y = (torch.from_numpy(sets) if isinstance(sets, np.ndarray) else sets for sets in (x, y))
    if len(x) != len(y):
        raise ValueError(f"x and y must hold as many point sets, got {len(x)} and {len(y)}")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(len(x), available) if threads is None else _checks.whole("threads", threads, 1)
    if isinstance(x, Tensor) and isinstance(y, Tensor) and len(x):
        _checks.stacks(x, y)
        if x.shape == y.shape and x.shape[2] > 1:
            return _stacked(x.detach(), y.detach(), workers)
    pairs = zip(x, y, strict=True)
    return torch.tensor(_spread(lambda pair: wasserstein(*pair).value, pairs, workers), dtype=torch.float64)


def _spread(
    work: Callable[[tuple[Tensor, Tensor]], T], pairs: Iterable[tuple[Tensor, Tensor]], workers: int
) -> list[T]:
    if workers <= 1:
        return [work(pair) for pair in pairs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, pairs))


def _stacked(x: Tensor, y: Tensor, workers: int) -> Tensor:
    """Sets of one size: a block of cost matrices at a time, at least one block a thread."""
    size = x.shape[1] * max(x.shape[1:])
    block = max(1, min(BATCH_ENTRIES // size, -(-len(x) // workers)))

    def totals(pair: tuple[Tensor, Tensor]) -> np.ndarray:
        return _assignment.least_costs(_costs(*pair), levels=_many(x.shape[2]))

    pairs = zip(torch.split(x, block), torch.split(y, block), strict=True)
    return torch.from_numpy(np.concatenate(_spread(totals, pairs, workers)) / x.shape[1])


def _many(coordinates: int) -> bool:
    """Whether there are so many that the distances of a point have a level of their own."""
    return coordinates > FEW_COORDINATES


def _costs(x: Tensor, y: Tensor) -> np.ndarray:
    """Distances in float64 of points, or of stacks of them, checked: on the CPU, contiguous, none lost to its range."""
    if x.is_cuda:
        cost: np.ndarray = distances(x.detach().double(), y.detach().double()).cpu().numpy()
    else:
        cost = euclidean(_array(x), _array(y))
    if cost.ndim == 2:
        if not _checks.LEAST_SPREAD <= (largest := np.maximum.reduce(cost, None)) < np.inf:
            _checks.spread(float(largest), x, y)
        return cost
    of_each = cost.max(axis=(1, 2))
    for place in np.flatnonzero(~((of_each >= _checks.LEAST_SPREAD) & (of_each < np.inf))):
        _checks.spread(float(of_each[place]), x[place], y[place])
    return cost


def _array(points: Tensor) -> np.ndarray:
    plain = points.detach() if points.requires_grad else points
    held: np.ndarray = (plain if plain.dtype == torch.float64 else plain.double()).numpy()
    return held


def _on_a_line(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, coupling: bool, potentials: bool
) -> Transport:
    uniform = a is None and b is None and len(x) == len(y)
    if uniform and not coupling and not potentials:
        return Transport(float((x.sort().values - y.sort().values).abs().mean()), None, None, "sorting")
    a, b = _masses(a, x), _masses(b, y)
    plan = Coupling(*monotone_coupling(x, y, a, b))
    if uniform:  # equal masses: one to one, without the dust that sums of 1/n leave
        order = torch.argsort(x)
        columns = torch.empty_like(order)
        columns[order] = torch.argsort(y)
        plan = Coupling(torch.arange(len(x), device=x.device), columns, a)
    value = float((plan.mass * (x[plan.rows] - y[plan.columns]).abs()).sum())
    dual = Potentials(*line_potential(x, y, a, b)) if potentials else None
    return Transport(value, plan if coupling else None, dual, "sorting")


def _masses(given: Tensor | None, points: Tensor) -> Tensor:
    return points.new_full((len(points),), 1 / len(points)) if given is None else given


def _solve(
    cost: np.ndarray,
    device: torch.device,
    a: Tensor | None,
    b: Tensor | None,
    coupling: bool,
    potentials: bool,
) -> Transport:
    n, m = cost.shape
    u: np.ndarray | None = None
    if a is None and b is None and n == m:
        if not coupling and not potentials:
            return Transport(_assignment.least_cost(cost) / n, None, None, JV)
        columns, rows = _assignment.assign(cost), np.arange(n)
        plan = rows, columns, np.full(n, 1 / n)
        value = float(cost[rows, columns].sum()) / n
        u = _assignment.prices(cost, columns) if potentials else None
        solver: Solver = JV
    else:
        mass_x = np.full(n, 1 / n) if a is None else a.cpu().numpy()
        mass_y = np.full(m, 1 / m) if b is None else b.cpu().numpy()
        plan, u = _by_network(cost, mass_x, mass_y, potentials)
        value = float(cost[plan[0], plan[1]] @ plan[2])
        solver = "network simplex"
    sparse = Coupling(*(torch.from_numpy(part).to(device) for part in plan)) if coupling else None
    dual = None
    if u is not None:
        both = u, (cost - u[:, None]).min(axis=0)
        dual = Potentials(*(torch.from_numpy(part).to(device) for part in both))
    return Transport(value, sparse, dual, solver)


Plan = tuple[np.ndarray, np.ndarray, np.ndarray]


def _by_network(
    table: np.ndarray, a: np.ndarray, b: np.ndarray, potentials: bool
) -> tuple[Plan, np.ndarray | None]:
    """Points without mass are left out: the simplex would give them potentials that mean nothing."""
    some_x, some_y = np.flatnonzero(a), np.flatnonzero(b)
    whole = len(some_x) == len(a) and len(some_y) == len(b)
    inner = table if whole else np.ascontiguousarray(table[np.ix_(some_x, some_y)])
    plan, u = _assignment.network(inner, a[some_x], b[some_y])
    rows, columns = np.nonzero(plan)
    sparse = some_x[rows], some_y[columns], plan[rows, columns]
    if not potentials:
        return sparse, None
    v = (inner - u[:, None]).min(axis=0)
    return sparse, (table[:, some_y] - v).min(axis=1)
