"""What changes over training: the weight of the KL, its balance over the groups, the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 1e-4


def warm_up(step: int, steps: int, portion: float = 0.3, constant: float = 1e-4) -> float:
    """β = clip((step − constant · steps)/(portion · steps), 10⁻⁴, 1): the KL's weight, linear in the step.

    Args:
        step: 0, 1, …
        steps: of the whole training, ≥ 1.
        portion: share of training until β = 1; 0: β = 1 from the start.
        constant: share of training at the least weight.

    Returns:
        β in [10⁻⁴, 1].

    Raises:
        ValueError: for steps < 1 or a portion outside [0, 1].

    Source: arXiv 2007.03898, appendix A; the official code's kl_coeff.
    """
    if steps < 1 or not 0 <= portion <= 1:
        raise ValueError(f"steps must be ≥ 1 and portion in [0, 1], got {steps} and {portion}")
    if portion == 0:
        return 1.0
    return max(LEAST, min(1.0, (step - constant * steps) / (portion * steps)))


def size_weights(groups: Sequence[int]) -> list[float]:
    """α of each group: 4^i / G_i at scale i (0: the smallest size), divided by the least of them.

    A group at a size twice as large holds four times as many latents; the division by the number of groups G_i of the
    scale is the official code's, the paper speaks of the size alone.
    """
    alpha = [4.0**i / count for i, count in enumerate(groups) for _ in range(count)]
    return [a / min(alpha) for a in alpha]


def balance(kl: Float[Tensor, "batch groups"], alpha: Sequence[float]) -> Float[Tensor, " groups"]:
    """γ_l ∝ (mean |KL_l| + 0.01) / α_l with mean 1, without gradient: groups of little KL are charged little.

    Args:
        kl: nats of each image and group.
        alpha: relative sizes, see `size_weights`.

    Returns:
        The weight of each group's KL during warm-up.

    Source: arXiv 2007.03898, appendix A; the official code's kl_balancer.
    """
    with torch.no_grad():
        average = (kl.abs().mean(0) + 0.01) / torch.tensor(alpha, device=kl.device, dtype=kl.dtype)
        return average / average.mean()


def learning_rate(step: int, steps: int, peak: float, floor: float, rise: int) -> float:
    """Linear up to the peak over `rise` steps, then a cosine down to the floor.

    Args:
        step: 0, 1, …
        steps: of the whole training.
        peak: largest rate.
        floor: last rate.
        rise: steps of the rise.

    Returns:
        The rate of this step.

    Source: arXiv 2007.03898, appendix A (there the cosine moves once an epoch).
    """
    if step < rise:
        return peak * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
