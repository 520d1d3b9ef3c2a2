"""Around the distance that a mini-batch sees: batches without a shared point, the size from which real data win.

Three numbers are called "the Wasserstein distance": of the populations, of two fixed finite sets (`exact`), and the
expected distance W̄_m(μ, ν) = E W1(μ̂_m, ν̂_m) of fresh batches, which is never below the first, falls with m, and is
positive even for μ = ν. Its debiased version is `oracle.debiased_loss`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.transport import _checks
from kexue.transport.cost import distances

Sampler = Callable[[int, torch.Generator], Tensor]
"""(size, generator) → a fresh batch of shape (size, d)."""


def from_pool(points: Float[Tensor, "n d"]) -> Sampler:
    """A sampler that takes distinct points of a finite pool, anew for each batch.

    Args:
        points: shape (n, d).

    Returns:
        The sampler; it refuses batches of more than n points.

    Raises:
        TypeError, ValueError: for points as in `wasserstein`.
    """
    _checks.points("points", points)

    def draw(size: int, generator: torch.Generator) -> Tensor:
        _checks.whole("size", size, 1, len(points))
        order = torch.randperm(len(points), generator=generator, device=generator.device)
        return points[order[:size].to(points.device)]

    return draw


def crossover(sizes: Sequence[int], real: Sequence[float], rival: Sequence[float]) -> float | None:
    """m*: the batch size from which W̄_m(real, real) stays below a rival's W̄_m(real, rival).

    Interpolated linearly in log₂ m between the last measured size at which the rival is ahead and the next.

    Args:
        sizes: m, increasing.
        real: W̄_m of real data to real data.
        rival: W̄_m of real data to the rival.

    Returns:
        m*; the smallest size if real data are ahead throughout, none if the rival is ahead at the largest.

    Raises:
        ValueError: for lists of different lengths, empty, or sizes that do not increase.
    """
    if not len(sizes) == len(real) == len(rival) >= 1:
        raise ValueError(
            f"sizes, real, rival must be as long, ≥ 1; got {len(sizes)}, {len(real)}, {len(rival)}"
        )
    if any(b <= a for a, b in pairwise(sizes)):
        raise ValueError(f"sizes must increase, got {list(sizes)}")
    lead = [r - s for s, r in zip(real, rival, strict=True)]
    behind = [k for k, value in enumerate(lead) if value <= 0]
    if not behind:
        return float(sizes[0])
    last = behind[-1]
    if last + 1 == len(sizes):
        return None
    share = -lead[last] / (lead[last + 1] - lead[last])
    low, high = math.log2(sizes[last]), math.log2(sizes[last + 1])
    return float(2 ** (low + share * (high - low)))


def intrinsic_dimension(points: Float[Tensor, "n d"], neighbours: int = 10) -> float:
    """Levina and Bickel's maximum-likelihood estimate from nearest neighbours, averaged as MacKay and Ghahramani do.

    1/d̂ = mean over points of (1/(k−1)) Σ_{j<k} log(T_k / T_j), with T_j the distance to the j-th neighbour.

    Args:
        points: shape (n, d), distinct.
        neighbours: k, from 2 to n − 1.

    Returns:
        The dimension seen at the scale of the k-th neighbour; biased downwards in high dimension.

    Raises:
        TypeError, ValueError: for points as in `wasserstein`, k out of range, points that coincide.

    Source: Levina and Bickel, NIPS 2004.
    """
    _checks.points("points", points)
    _checks.whole("neighbours", neighbours, 2, len(points) - 1)
    x = points.detach().double()
    nearest = torch.cat(
        [distances(part, x).topk(neighbours + 1, largest=False).values for part in torch.split(x, 1024)]
    )
    radii = nearest[:, 1:]
    if not bool((radii[:, 0] > 0).all()):
        raise ValueError("points must be distinct: the nearest neighbour of some lies at distance zero")
    logs = torch.log(radii[:, -1:] / radii[:, :-1]).sum(1)
    return (neighbours - 1) / float(logs.mean())
