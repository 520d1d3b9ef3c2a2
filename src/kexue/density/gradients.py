"""Objectives to maximise: each has the value of a bound and, by automatic differentiation, one estimator of its gradient.

They differ only in how the gradient reaches the proposal. With w̃_k = w_k/Σw:

    IWAE   Σ w̃_k  d log w_k
    STL    Σ w̃_k  d log w_k without the score term ∂ log q/∂φ          (biased for K > 1)
    DReG   Σ w̃_k² (∂ log w_k/∂z_k)(dz_k/dφ) for φ, IWAE's for the model   (unbiased)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.density.proposals import (
    GaussianProposal,
    LogJoint,
    Proposal,
    draw,
    evaluated,
    log_ratio,
    log_weights,
)

Objective = Callable[..., Tensor]


def _log_mean_exp(log_w: Float[Tensor, "samples batch"]) -> Float[Tensor, " batch"]:
    bound: Tensor = torch.logsumexp(log_w, 0) - math.log(len(log_w))
    return bound


def _valued(value: Float[Tensor, " batch"], surrogate: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """`value` with the gradient of `surrogate`."""
    return value.detach() + surrogate - surrogate.detach()


def elbo(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, " batch"]:
    """(1/K) Σ log w_k: samples averaged outside the logarithm.

    Args:
        log_joint: z, shape (samples, batch, d) → log p(x, z), shape (samples, batch).
        proposal: q, differentiable.
        samples: K ≥ 1.
        generator: source of randomness.

    Returns:
        The bound an example, in nats, with its reparameterised gradient.

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for samples < 1; when the model or the proposal returns another shape than it should.

    Source: kexue.fm/archives/8791, one sample.
    """
    return log_weights(log_joint, proposal, samples, generator=generator).mean(0)


def elbo_with_analytic_kl(
    log_likelihood: LogJoint, proposal: GaussianProposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, " batch"]:
    """(1/K) Σ log p(x|z_k) − KL(q ‖ N(0, I)), the usual VAE loss with its sign turned.

    Args:
        log_likelihood: z, shape (samples, batch, d) → log p(x|z), shape (samples, batch).
        proposal: q, Gaussian with diagonal covariance.
        samples: K ≥ 1.
        generator: source of randomness.

    Returns:
        The bound an example, in nats.

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for samples < 1; when the model or the proposal returns another shape than it should.
    """
    z = draw(proposal, samples, generator=generator)
    return evaluated("log_likelihood", log_likelihood, z).mean(0) - proposal.kl_to_standard_normal()


def iwae(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, " batch"]:
    """log (1/K) Σ w_k with its reparameterised gradient.

    Args, Returns, Raises: as `elbo`.

    Source: kexue.fm/archives/8791, M samples; Burda et al. 2016, eq. 13.
    """
    return _log_mean_exp(log_weights(log_joint, proposal, samples, generator=generator))


def stl(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, " batch"]:
    """The same value; the proposal's gradient flows through z alone ("sticking the landing").

    Args, Returns, Raises: as `elbo`.

    Source: Roeder, Wu, Duvenaud 2017.
    """
    z = draw(proposal, samples, generator=generator)
    return _log_mean_exp(log_ratio(log_joint, proposal.detached(), z))


def dreg(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, " batch"]:
    """The same value; for the proposal the path gradient with squared weights, for the model IWAE's.

    Args, Returns, Raises: as `elbo`.

    Source: Tucker, Lawson, Gu, Maddison 2018 (doubly reparameterised gradients).
    """
    z = draw(proposal, samples, generator=generator)
    inner = z.clone()  # where the second factor w̃ enters: on the way back from log w to z
    log_w = log_ratio(log_joint, proposal.detached(), inner)
    shares = torch.softmax(log_w.detach(), 0)
    if inner.requires_grad:
        inner.register_hook(lambda gradient: gradient * shares[..., None])  # type: ignore[no-untyped-call]
    return _valued(_log_mean_exp(log_w), (shares * log_w).sum(0))
