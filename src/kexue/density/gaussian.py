"""Closed forms when posterior and proposal are Gaussian: divergences, the variance of the weights, its tail.

One dimension is whitened: the posterior is N(0, 1), the proposal N(δ, τ²), so w/p(x) = N(z; 0, 1)/N(z; δ, τ²).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from kexue.density import _checks


def reverse_kl(shift: float, scale: float) -> float:
    """KL(q ‖ posterior) = ½(τ² + δ² − 1 − log τ²): the gap of the ELBO, in nats.

    Args:
        shift: δ.
        scale: τ > 0.

    Raises:
        ValueError: for τ ≤ 0.
    """
    _checks.positive("scale", scale)
    return 0.5 * (scale**2 + shift**2 - 1) - math.log(scale)


def chi_square(shift: float, scale: float) -> float:
    """χ² = Var(w)/p(x)²: 1 + χ² = τ² (2τ² − 1)^(−1/2) exp(δ²/(2τ² − 1)), infinite when 2τ² ≤ 1.

    Args:
        shift: δ.
        scale: τ > 0.

    Returns:
        χ², a pure number.

    Raises:
        ValueError: for τ ≤ 0.
    """
    excess = 2 * _checks.positive("scale", scale) ** 2 - 1
    if excess <= 0:
        return math.inf
    return scale**2 / math.sqrt(excess) * math.exp(shift**2 / excess) - 1


def tail_shape(scale: float) -> float:
    """k = 1 − τ², at least 0: P(w > t) ~ t^(−1/k) up to slower factors.

    Args:
        scale: τ > 0.

    Raises:
        ValueError: for τ ≤ 0.
    """
    return max(0.0, 1 - _checks.positive("scale", scale) ** 2)


def gap_exponent(scale: float) -> float:
    """The predicted slope of log gap against log K: −1 while χ² is finite, else −τ²/(1 − τ²).

    For weights of tail index 1 < α = 1/(1 − τ²) ≤ 2 the largest term rules the fluctuations of the sum (its mean is
    finite and does not depend on it): the gap falls as K^(1−α).

    Args:
        scale: τ > 0.

    Raises:
        ValueError: for τ ≤ 0.
    """
    square = _checks.positive("scale", scale) ** 2
    return -1.0 if 2 * square > 1 else -square / (1 - square)


def chi_square_of_precisions(posterior: Float64[Tensor, "d d"], proposal: Float64[Tensor, "d d"]) -> float:
    """χ² for equal means: 1 + χ² = det Λ / √(det D · det(2Λ − D)), infinite unless 2Λ − D is positive definite.

    Args:
        posterior: Λ, symmetric positive definite, shape (d, d).
        proposal: D, the same.

    Returns:
        χ², a pure number.
    """
    difference = 2 * posterior - proposal
    if float(torch.linalg.eigvalsh(difference)[0]) <= 0:
        return math.inf
    log_ratio = torch.logdet(posterior) - 0.5 * (torch.logdet(proposal) + torch.logdet(difference))
    return math.expm1(float(log_ratio))


def reverse_kl_of_precisions(posterior: Float64[Tensor, "d d"], proposal: Float64[Tensor, "d d"]) -> float:
    """KL(q ‖ posterior) for equal means: ½(tr(ΛD⁻¹) − d + log det D − log det Λ), in nats.

    The best diagonal q has D = diag Λ, and leaves ½(Σ log Λ_ii − log det Λ).

    Args:
        posterior: Λ, symmetric positive definite, shape (d, d).
        proposal: D, the same.
    """
    trace = torch.linalg.solve(proposal, posterior).diagonal().sum()
    return float(0.5 * (trace - len(posterior) + torch.logdet(proposal) - torch.logdet(posterior)))
