"""What log-weights become: the ELBO, the importance-weighted bound, its jackknife, the effective sample size.

All averages are taken inside log-sum-exp and in float64, whatever the dtype of the weights.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kexue.checks import tensor


def _rows(log_w: Float[Tensor | np.ndarray, "samples ..."], at_least: int) -> Float64[Tensor, "samples ..."]:
    log_w = tensor("log_w", log_w)
    if log_w.ndim < 1 or len(log_w) < at_least:
        raise ValueError(
            f"log_w must hold at least {at_least} samples in its first axis, got shape {tuple(log_w.shape)}"
        )
    return log_w.double()


def evidence_lower_bound(log_w: Float[Tensor | np.ndarray, "samples ..."]) -> Float64[Tensor, " ..."]:
    """The mean of log w: the VAE's bound, L_1, whatever the number of samples.

    Args:
        log_w: log-weights, a tensor or a numpy array, samples in the first axis.

    Returns:
        One estimate of L_1 an example, in nats.

    Raises:
        ValueError: when there are no samples.
    """
    return _rows(log_w, 1).mean(0)


def importance_bound(log_w: Float[Tensor | np.ndarray, "samples ..."]) -> Float64[Tensor, " ..."]:
    """log (1/K) Σ_k w_k, an estimate of log p(x) whose mean is the bound L_K.

    Args:
        log_w: log-weights, a tensor or a numpy array, samples in the first axis.

    Returns:
        One estimate an example, in nats.

    Raises:
        ValueError: when there are no samples.

    Source: kexue.fm/archives/8791, its M-sample objective; Burda et al. 2016, eq. 8.
    """
    weights = _rows(log_w, 1)
    return torch.logsumexp(weights, 0) - math.log(len(weights))


def jackknife_bound(log_w: Float[Tensor | np.ndarray, "samples ..."]) -> Float64[Tensor, " ..."]:
    """K log ŵ_K − (K − 1) · mean over k of log ŵ without k: bias O(K⁻²), no longer a lower bound.

    The sum without w_k is taken as log(1 − w_k/Σw) + log Σw, except for the largest weight, whose complement is
    summed afresh: there the difference would cancel.

    Args:
        log_w: log-weights, K ≥ 2 samples in the first axis.

    Returns:
        One estimate an example, in nats.

    Raises:
        ValueError: for fewer than 2 samples.

    Source: Nowozin 2018, jackknife variational inference of order 1.
    """
    weights = _rows(log_w, 2)
    count = len(weights)
    total = torch.logsumexp(weights, 0)
    largest = weights.argmax(0, keepdim=True)
    shares = torch.exp(weights - total).scatter(0, largest, 0.0)
    without_each = total + torch.log1p(-shares)
    others = weights.scatter(0, largest, -math.inf)
    without_each = without_each.scatter(0, largest, torch.logsumexp(others, 0, keepdim=True))
    leave_one_out = without_each.mean(0) - math.log(count - 1)
    return count * (total - math.log(count)) - (count - 1) * leave_one_out


def effective_sample_size(log_w: Float[Tensor | np.ndarray, "samples ..."]) -> Float64[Tensor, " ..."]:
    """(Σw)²/Σw², from 1 (one weight rules) to K (all equal). Blind to what the proposal never visits.

    Args:
        log_w: log-weights, a tensor or a numpy array, samples in the first axis.

    Returns:
        One value an example, in samples.

    Raises:
        ValueError: when there are no samples.
    """
    weights = _rows(log_w, 1)
    return torch.exp(2 * torch.logsumexp(weights, 0) - torch.logsumexp(2 * weights, 0))


def nested_bounds(log_w: Float[Tensor | np.ndarray, "samples ..."]) -> Float64[Tensor, "levels ..."]:
    """L_1, L_2, L_4, …, L_K from one set of K = 2^m weights, each averaged over disjoint groups of its size.

    Between neighbours the inequality of the means holds draw by draw, so the sequence rises exactly, not only on average.

    Args:
        log_w: log-weights, 2^m samples in the first axis.

    Returns:
        The estimates, shape (m + 1, …), in nats.

    Raises:
        ValueError: when the number of samples is no power of two.

    Source: Burda et al. 2016, theorem 1 (its proof averages over subsets).
    """
    weights = _rows(log_w, 1)
    if len(weights) & (len(weights) - 1):
        raise ValueError(f"log_w must hold a power of two of samples, got {len(weights)}")
    levels = [weights.mean(0)]
    while len(weights) > 1:
        weights = torch.logaddexp(weights[0::2], weights[1::2]) - math.log(2)
        levels.append(weights.mean(0))
    return torch.stack(levels)
