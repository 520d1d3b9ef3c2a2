"""How heavy the tail of the weights is: the shape of a generalised Pareto law fitted to the largest of them.

P(w > t) ~ t^(−1/k). The variance of w is infinite for k ≥ 1/2, and then neither the error bar of (1/K) Σ w nor the
1/K law of the bound's gap holds.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kexue.checks import tensor

INFINITE_VARIANCE = 0.5
ROUNDING = 1e-9  # weights that differ by less are equal: what is left is the rounding of log w
UNRELIABLE = 0.7
"""From here importance sampling is not to be trusted at any practical K (Vehtari et al. 2024)."""


def tail_length(samples: int) -> int:
    """How many of K weights count as tail: min(K/5, 3√K), rounded up (Vehtari et al. 2024)."""
    return math.ceil(min(0.2 * samples, 3 * math.sqrt(samples)))


def pareto_shape(log_tail: Float[Tensor | np.ndarray, "tail ..."]) -> Float64[Tensor, " ..."]:
    """k̂ of the largest weights, by the empirical Bayes fit of Zhang and Stephens (2009).

    The smallest of them serves as threshold; the rest less the threshold are fitted, and k̂ is drawn towards ½ as if by
    ten more observations (Vehtari et al. 2024).

    Args:
        log_tail: the largest log-weights in any order, at least 6, in the first axis.

    Returns:
        k̂ an example; −∞ where all of them are equal to 1e-9.

    Raises:
        ValueError: for fewer than 6.
    """
    log_tail = tensor("log_tail", log_tail)
    if len(log_tail) < 6:
        raise ValueError(f"log_tail must hold at least 6 weights to fit a tail, got {len(log_tail)}")
    ordered = log_tail.double().sort(dim=0).values
    scaled = torch.exp(ordered - ordered[-1])  # the shape does not depend on the scale
    excess = scaled[1:] - scaled[0]
    flat = excess[-1] < ROUNDING
    excess = torch.where(
        flat,
        torch.linspace(0.1, 1, len(excess), dtype=torch.float64, device=excess.device).reshape(
            -1, *[1] * (excess.ndim - 1)
        ),
        excess,
    )
    count = len(excess)
    grid = 30 + math.isqrt(count)
    steps = torch.arange(1, grid + 1, dtype=torch.float64, device=excess.device)
    steps = (1 - torch.sqrt(grid / (steps - 0.5))).reshape(-1, *[1] * (excess.ndim - 1))
    quartile = excess[int(count / 4 + 0.5) - 1].clamp(min=torch.finfo(torch.float64).tiny)
    theta = 1 / excess[-1] + steps / (3 * quartile)
    shapes = torch.stack([torch.log1p(-row * excess).mean(0) for row in theta])
    log_likelihood = count * (torch.log(-theta / shapes) - shapes - 1)
    posterior = torch.softmax(log_likelihood, 0)
    best = (theta * posterior).sum(0)
    shape = torch.log1p(-best * excess).mean(0)
    shrunk = (shape * count + 5) / (count + 10)
    return torch.where(flat, -math.inf, shrunk)
