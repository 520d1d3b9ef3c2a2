"""Models with finitely many states, where every average is a sum."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor


def cross_entropy(
    data: Float64[Tensor, " states"], log_model: Float64[Tensor, "... states"]
) -> Float64[Tensor, " ..."]:
    """E_data[−log p_model], the loss of maximum likelihood, in nats.

    Args:
        data: probabilities.
        log_model: log-probabilities, states in the last axis.
    """
    return -(data * log_model).sum(-1)


def kl(data: Float64[Tensor, " states"], log_model: Float64[Tensor, "... states"]) -> Float64[Tensor, " ..."]:
    """KL(data ‖ model) = Σ p log(p/p_model), in nats; states without data count nothing.

    Args:
        data: probabilities.
        log_model: log-probabilities, states in the last axis.
    """
    terms: Tensor = torch.special.xlogy(data, data) - data * log_model
    return terms.sum(-1)


class FiniteBound(NamedTuple):
    """p(x) and the ELBO of one x in a model with finitely many z: both exact, the ELBO in nats."""

    marginal: float
    elbo: float
    weights: Float64[Tensor, " states"]


def finite_bound(joint: Float64[Tensor, " states"], proposal: Float64[Tensor, " states"]) -> FiniteBound:
    """p(x) = Σ_z q(z) w(z) and Σ_z q(z) log w(z), with w = p(x, z)/q(z).

    Args:
        joint: p(x, z) for each z, ≥ 0.
        proposal: q(z), > 0, summing to 1.

    Raises:
        ValueError: when the shapes differ, or q is no positive law.
    """
    if (
        joint.shape != proposal.shape
        or not bool((proposal > 0).all())
        or abs(float(proposal.sum()) - 1) > 1e-9
    ):
        raise ValueError(
            f"proposal must be positive probabilities, one for each of the {len(joint)} states; got {proposal.tolist()}"
        )
    weights = joint / proposal
    return FiniteBound(float((proposal * weights).sum()), float((proposal * weights.log()).sum()), weights)
