"""Log-bilinear models of a known distribution, fitted with the full softmax: how many dimensions fit it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from kexue.embedding import _checks
from kexue.embedding._checks import Real
from kexue.progress import progress


class Fit(NamedTuple):
    """Fitted vectors, shape (N, n) each, and the mean over rows of KL(P_i ‖ p_i), in nats."""

    centres: Float[Tensor, "words n"]
    contexts: Float[Tensor, "words n"]
    divergence: float


def _words(count: int) -> int:
    return int(_checks.vocabulary(count))


def identity_target(count: int) -> Float[Tensor, "words words"]:
    """Each word predicts itself: the permutation every code must be able to tell apart.

    Args:
        count: N ≥ 2.

    Raises:
        ValueError: for N < 2.
    """
    return torch.eye(_words(count))


def sparse_target(count: int, neighbours: int, *, generator: torch.Generator) -> Float[Tensor, "words words"]:
    """Each word predicts `neighbours` others drawn without replacement, with equal probability.

    Args:
        count: N ≥ 2.
        neighbours: k, 1 ≤ k ≤ N.
        generator: source of randomness.

    Raises:
        ValueError: for N < 2 or k outside [1, N].
    """
    if not 1 <= neighbours <= _words(count):
        raise ValueError(f"neighbours must lie in [1, {count}], got {neighbours}")
    device = generator.device
    chosen = torch.rand(count, count, generator=generator, device=device).argsort(1)[:, :neighbours]
    return torch.zeros(count, count, device=device).scatter_(1, chosen, 1 / neighbours)


def low_rank_target(
    count: int, rank: int, spread: Real = 1.5, *, generator: torch.Generator
) -> Float[Tensor, "words words"]:
    """A log-bilinear model of known dimension: softmax of U Vᵀ, logits of standard deviation `spread`.

    Args:
        count: N ≥ 2.
        rank: true dimension, ≥ 1.
        spread: standard deviation of the logits > 0.
        generator: source of randomness.

    Raises:
        ValueError: for N < 2, rank < 1 or spread ≤ 0.
    """
    scale = math.sqrt(
        _checks.real("spread", spread, above=0) / math.sqrt(_checks.real("rank", rank, at_least=1))
    )
    u, v = (
        torch.randn(_words(count), rank, generator=generator, device=generator.device) * scale
        for _ in range(2)
    )
    return (u @ v.T).softmax(1)


def full_rank_target(
    count: int, spread: Real = 1.5, *, generator: torch.Generator
) -> Float[Tensor, "words words"]:
    """Independent normal logits of standard deviation `spread`: no structure at all.

    Args:
        count: N ≥ 2.
        spread: standard deviation > 0.
        generator: source of randomness.

    Raises:
        ValueError: for N < 2 or spread ≤ 0.
    """
    logits = torch.randn(_words(count), count, generator=generator, device=generator.device)
    return (_checks.real("spread", spread, above=0) * logits).softmax(1)


def fit_bilinear(
    target: Float[Tensor, "words words"],
    n: int,
    *,
    generator: torch.Generator,
    sphere: bool = True,
    steps: int = 250,
    learning_rate: float = 0.1,
) -> Fit:
    """Minimise the mean of KL(P_i ‖ softmax(U V ᵀ)_i) by Adam, the learning rate falling to 0 as a cosine.

    Args:
        target: P, rows that sum to 1, on the generator's device.
        n: dimension ≥ 1.
        generator: source of randomness (the start).
        sphere: keep every vector on the sphere of radius √n (components of size 1, as the article assumes);
            otherwise norms are free.
        steps: gradient steps ≥ 1.
        learning_rate: Adam's, in units of a component.

    Returns:
        The fit; its divergence is measured after the last step.

    Raises:
        ValueError: when rows do not sum to 1, or a size is out of range.

    Source: kexue.fm/archives/7695, the model; the fit is ours.
    """
    if not torch.allclose(target.sum(1), torch.ones_like(target[:, 0]), atol=1e-4) or (target < 0).any():
        raise ValueError("target must hold rows of probabilities that sum to 1")
    _checks.real("n", n, at_least=1)
    _checks.real("steps", steps, at_least=1)
    _checks.real("learning_rate", learning_rate, above=0)
    start = torch.randn(2, len(target), n, generator=generator, device=target.device, dtype=target.dtype)
    vectors = start.requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    negative_entropy = torch.special.xlogy(target, target).sum(1).mean()

    def divergence() -> tuple[Tensor, Tensor]:
        codes = normalize(vectors, dim=2) * math.sqrt(n) if sphere else vectors
        cross_entropy = -(target * (codes[0] @ codes[1].T).log_softmax(1)).sum(1).mean()
        return negative_entropy + cross_entropy, codes

    for _ in progress(range(steps), f"fit in {n} dimensions"):
        loss, _ = divergence()
        (vectors.grad,) = torch.autograd.grad(loss, [vectors])
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        loss, codes = divergence()
    return Fit(codes[0].detach(), codes[1].detach(), float(loss))


def elbow(divergence: Callable[[int], float], dimensions: Sequence[int], tolerance: Real = 0.1) -> int:
    """The first dimension of a rising grid whose divergence is below the tolerance, by bisection.

    The divergence of a fit falls with n (up to the noise of its optimiser, far below the tolerance's steps).

    Args:
        divergence: n → nats.
        dimensions: rising grid to search.
        tolerance: nats > 0.

    Returns:
        The first such dimension.

    Raises:
        ValueError: when not even the last dimension is enough, or the grid does not rise; when `divergence` returns
            anything but one number.
    """
    _checks.real("tolerance", tolerance, above=0)
    if not dimensions or list(dimensions) != sorted(set(dimensions)):
        raise ValueError(f"dimensions must be a rising grid, got {list(dimensions)}")
    low, high = 0, len(dimensions)
    while low < high:
        middle = (low + high) // 2
        found = divergence(dimensions[middle])
        if not isinstance(found, Real):
            raise ValueError(
                f"divergence must return one number of nats for n = {dimensions[middle]}, got {found!r} of type "
                f"{type(found).__name__}"
            )
        if found < tolerance:
            high = middle
        else:
            low = middle + 1
    if low == len(dimensions):
        raise ValueError(f"divergence stays ≥ {tolerance!r} up to n = {dimensions[-1]}; extend dimensions")
    return dimensions[low]
