"""Few points that stand for many: the mean, geometric medians, K-means, K-medians and their balanced versions."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from sklearn.cluster import KMeans
from torch import Tensor

from kexue.transport import _checks
from kexue.transport.cost import distances
from kexue.transport.exact import Coupling, wasserstein

Update = Literal["mean", "median"]


def geometric_median(
    points: Float[Tensor, "n d"],
    weights: Float[Tensor, " n"] | None = None,
    *,
    tolerance: float = 1e-9,
    iterations: int = 1000,
) -> Float[Tensor, " d"]:
    """The point a that minimises E‖x − a‖ = W1(μ, δ_a), by Weiszfeld's iteration with Vardi and Zhang's correction.

    Args:
        points: shape (n, d).
        weights: masses, shape (n,), sum 1; default 1/n each.
        tolerance: stop when a step is shorter than this share of the points' spread.
        iterations: at most.

    Returns:
        The median, shape (d,), dtype and device of the points; unique unless the points lie on a line.

    Raises:
        TypeError, ValueError: for points and weights as in `wasserstein`.
        RuntimeError: when the iteration does not settle.

    Source: Vardi and Zhang, PNAS 97 (2000): a plain step never leaves a data point.
    """
    _checks.points("points", points)
    x = points.detach().double()
    mass = (
        x.new_full((len(x),), 1 / len(x)) if weights is None else _checks.weights("weights", weights, len(x))
    )
    median = mass @ x
    spread = float(torch.linalg.vector_norm(x - median, dim=1).max())
    for _ in range(iterations):
        gap = torch.linalg.vector_norm(x - median, dim=1)
        here = gap <= 1e-14 * spread
        pull = torch.where(here, 0, mass / torch.where(here, 1, gap))
        if not bool(pull.any()):
            return median.to(points.dtype)
        plain = pull @ x / pull.sum()
        force = float(torch.linalg.vector_norm(pull @ (x - median)))
        stay = min(1.0, float(mass[here].sum()) / force) if force > 0 else 1.0
        step = (1 - stay) * (plain - median)
        median = median + step
        if float(torch.linalg.vector_norm(step)) <= tolerance * spread:
            return median.to(points.dtype)
    raise RuntimeError(f"the geometric median did not settle within {iterations} iterations to {tolerance:g}")


def k_means(points: Float[Tensor, "n d"], count: int, *, seed: int, starts: int = 4) -> Float[Tensor, "k d"]:
    """Centres that minimise the mean squared distance of a point to the nearest (Lloyd, k-means++; scikit-learn).

    Args:
        points: shape (n, d).
        count: k, from 1 to n.
        seed: of the initialisation.
        starts: the best of so many runs ≥ 1.

    Returns:
        Centres, shape (k, d), dtype and device of the points.

    Raises:
        TypeError, ValueError: for points as in `wasserstein`, a count or number of starts out of range.
    """
    _ready(points, count)
    _checks.whole("starts", starts, 1)
    model = KMeans(count, n_init=starts, random_state=seed).fit(points.detach().double().cpu().numpy())
    return torch.from_numpy(model.cluster_centers_).to(points)


def k_medians(
    points: Float[Tensor, "n d"], count: int, *, seed: int, rounds: int = 30
) -> Float[Tensor, "k d"]:
    """Centres that minimise the mean distance to the nearest: the best k-point law for W1 when masses are free.

    From K-means, alternating nearest-centre assignment and geometric medians until nothing changes.

    Args:
        points: shape (n, d).
        count: k, from 1 to n.
        seed: of the initialisation.
        rounds: at most.

    Returns:
        Centres, shape (k, d), dtype and device of the points; a local optimum.

    Raises:
        TypeError, ValueError: as `k_means`.
    """
    x = points.detach().double()
    centres = k_means(points, count, seed=seed, starts=1).double()
    previous = None
    for _ in range(_checks.whole("rounds", rounds, 1)):
        nearest = distances(x, centres).argmin(1)
        if previous is not None and bool((nearest == previous).all()):
            break
        for k in torch.unique(nearest).tolist():
            centres[k] = geometric_median(x[nearest == k], tolerance=1e-7)
        previous = nearest
    return centres.to(points.dtype)


class Balanced(NamedTuple):
    """Equal-mass centres, and W1 of the points to them before the first and after every round."""

    centres: Float[Tensor, "k d"]
    distances: tuple[float, ...]


def ot_means(
    points: Float[Tensor, "n d"],
    count: int,
    *,
    seed: int,
    update: Update = "median",
    rounds: int = 20,
) -> Balanced:
    """Centres of mass 1/k each that minimise W1(points, centres): what a generator with k latent codes can do at best.

    From k random points, alternating exact transport and, for each centre, the mean or the geometric median of what it
    receives. With medians W1 never rises; with means it is W2² that never would, and W1 is only recorded.

    Args:
        points: shape (n, d).
        count: k, from 1 to n.
        seed: of the initial choice of points.
        update: "median" or "mean".
        rounds: at most; fewer when W1 falls by less than 1e-9 of itself.

    Returns:
        The centres (those of the least W1) and the course of W1.

    Raises:
        TypeError, ValueError: as `k_means`; for another update.

    Source: Elnekave and Weiss, ICLR 2025 (OT-means).
    """
    _ready(points, count)
    if update not in ("mean", "median"):
        raise ValueError(f'update must be "mean" or "median", got {update!r}')
    x = points.detach().double()
    generator = torch.Generator().manual_seed(seed)
    centres = x[torch.randperm(len(x), generator=generator)[:count].to(x.device)]
    best, value, plan = centres, *_transport(x, centres)
    course = [value]
    for _ in range(_checks.whole("rounds", rounds, 1)):
        centres = torch.stack([_centre(x, plan, k, update) for k in range(count)])
        value, plan = _transport(x, centres)
        if value < min(course):
            best = centres
        course.append(value)
        if course[-2] - value <= 1e-9 * value:
            break
    return Balanced(best.to(points.dtype), tuple(course))


def _ready(points: Tensor, count: int) -> None:
    _checks.points("points", points)
    _checks.whole("count", count, 1, len(points))


def _transport(x: Tensor, centres: Tensor) -> tuple[float, Coupling]:
    solved = wasserstein(x, centres, coupling=True)
    assert solved.coupling is not None
    return solved.value, solved.coupling


def _centre(x: Tensor, plan: Coupling, k: int, update: Update) -> Float[Tensor, " d"]:
    mine: Int64[Tensor, " some"] = (plan.columns == k).nonzero().flatten()
    mass, members = plan.mass[mine] / plan.mass[mine].sum(), x[plan.rows[mine]]
    return mass @ members if update == "mean" else geometric_median(members, mass, tolerance=1e-7)
