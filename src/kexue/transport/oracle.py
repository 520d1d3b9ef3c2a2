"""Losses between two batches that need no critic: exact transport, its debiased version, the Sinkhorn divergence.

Each is differentiable in the fake batch by the envelope theorem: the optimal coupling is found without gradient, and
the gradient is that of the cost under it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import logsigmoid

from kexue.transport._assignment import assign


def exact_loss(real: Float[Tensor, "k n d"], fake: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
    """W1 of each pair of batches, by linear assignment: what a perfect critic would report."""
    moved = real - fake.gather(1, _matched(real, fake)[..., None].expand(real.shape))
    loss: Tensor = torch.linalg.vector_norm(moved, dim=2).mean(1)
    return loss


def debiased_loss(real: Float[Tensor, "k n d"], fake: Float[Tensor, "k n d"]) -> Float[Tensor, " k"]:
    """W(x, y) + W(x', y') − W(x, x') − W(y, y'), each batch cut in halves x, x' and y, y'.

    For independent points its mean is 2 W̄(μ, ν) − W̄(μ, μ) − W̄(ν, ν) at half the batch size: not W1 without its bias but another
    divergence, zero where μ = ν (at one point a half, the energy distance). Halves of a batch drawn with replacement from a small
    pool share points, which makes the self-distances too small and the value too large: draw with `debiased.from_pool`.

    Args:
        real: batches of an even number of points.
        fake: as many.

    Raises:
        ValueError: for an odd number of points.
    """
    if real.shape[1] % 2:
        raise ValueError(f"real must hold an even number of points, got {real.shape[1]}")
    (x, other_x), (y, other_y) = real.chunk(2, 1), fake.chunk(2, 1)
    between = exact_loss(x, y) + exact_loss(other_x, other_y)
    return between - exact_loss(x, other_x) - exact_loss(y, other_y)


def sinkhorn_loss(
    real: Float[Tensor, "k n d"], fake: Float[Tensor, "k n d"], *, epsilon: float = 0.1, iterations: int = 20
) -> Float[Tensor, " k"]:
    """The Sinkhorn divergence OT_ε(x, y) − ½ OT_ε(x, x) − ½ OT_ε(y, y) of each pair of batches, cost ‖x − y‖.

    Args:
        real: x.
        fake: y.
        epsilon: ε > 0, in the unit of the distances.
        iterations: of the symmetrised fixed point, ≥ 1; no convergence is checked.

    Raises:
        ValueError: for ε ≤ 0 or iterations < 1.

    Source: Genevay et al. 2018; Feydy et al. 2019.
    """
    across, of_real, of_fake = (
        entropic_loss(x, y, epsilon=epsilon, iterations=iterations)
        for x, y in ((real, fake), (real, real), (fake, fake))
    )
    return across - (of_real + of_fake) / 2


def entropic_loss(
    real: Float[Tensor, "k n d"], fake: Float[Tensor, "k m d"], *, epsilon: float = 0.1, iterations: int = 20
) -> Float[Tensor, " k"]:
    """OT_ε(x, y) = min_P ⟨P, C⟩ + ε KL(P | a ⊗ b) of each pair of batches, cost ‖x − y‖: its dual value.

    Of a batch with itself it is no zero: as ε falls below the distances in the batch it tends to ε log n, the entropy that the
    plan x → x lacks. The gradient is that of the last soft c-transform.

    Args:
        real: x.
        fake: y.
        epsilon: ε > 0, in the unit of the distances.
        iterations: of the symmetrised fixed point, ≥ 1; no convergence is checked.

    Raises:
        ValueError: for ε ≤ 0 or iterations < 1.

    Source: Feydy et al. 2019, arXiv 1810.08278.
    """
    if not epsilon > 0 or iterations < 1:
        raise ValueError(f"epsilon must be > 0 and iterations ≥ 1, got {epsilon!r} and {iterations!r}")
    cost = torch.cdist(real, fake, compute_mode="donot_use_mm_for_euclid_dist")
    log_n, log_m = math.log(real.shape[1]), math.log(fake.shape[1])
    with torch.no_grad():
        f, g = cost.new_zeros(cost.shape[0], real.shape[1]), cost.new_zeros(cost.shape[0], fake.shape[1])
        for _ in range(iterations):
            new_f = -epsilon * (torch.logsumexp((g[:, None, :] - cost) / epsilon, 2) - log_m)
            new_g = -epsilon * (torch.logsumexp((f[:, :, None] - cost) / epsilon, 1) - log_n)
            f, g = (f + new_f) / 2, (g + new_g) / 2
    last_f = -epsilon * (torch.logsumexp((g[:, None, :] - cost) / epsilon, 2) - log_m)
    last_g = -epsilon * (torch.logsumexp((f[:, :, None] - cost) / epsilon, 1) - log_n)
    return (last_f.mean(1) + last_g.mean(1) + f.mean(1) + g.mean(1)) / 2


def jensen_shannon(on_real: Float[Tensor, "k n"], on_fake: Float[Tensor, "k m"]) -> Float[Tensor, " k"]:
    """The lower bound of the Jensen–Shannon divergence, in nats, that a logistic critic's values certify.

    JS ≥ log 2 + ½ E log σ(f(x)) + ½ E log σ(−f(y)), with equality for the best f; log 2 for disjoint supports.

    Args:
        on_real: f(x).
        on_fake: f(y).

    Source: Goodfellow et al. 2014, theorem 1.
    """
    return math.log(2) + (logsigmoid(on_real).mean(1) + logsigmoid(-on_fake).mean(1)) / 2


def _matched(real: Tensor, fake: Tensor) -> Int64[Tensor, "k n"]:
    costs = torch.cdist(real.detach(), fake.detach()).double().cpu().numpy()
    columns = [torch.from_numpy(assign(cost)).long() for cost in costs]
    return torch.stack(columns).to(real.device)
