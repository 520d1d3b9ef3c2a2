"""What z is drawn from: Gaussian proposals that can be sampled with a gradient, and a mixture that cannot be starved.

A model enters this package as `log_joint`, any function from z, shape (samples, batch, d), to log p(x, z), shape
(samples, batch), the batch of x being held inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.checks import returned
from kexue.density import _checks

LogJoint = Callable[[Tensor], Tensor]
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@runtime_checkable
class Proposal(Protocol):
    """A density over z for each x of a batch."""

    def sample(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count batch d"]:
        """Draws, differentiable in the proposal's parameters where it can be."""
        ...

    def log_prob(self, z: Float[Tensor, "count ... d"]) -> Float[Tensor, "count batch"]:
        """log q(z|x), in nats."""
        ...

    def detached(self) -> Proposal:
        """The same density, its parameters held constant."""
        ...


def log_normal_density(
    z: Float[Tensor, "... d"], mean: Float[Tensor, "... d"], log_scale: Float[Tensor, "... d"]
) -> Float[Tensor, " ..."]:
    """log N(z; μ, diag σ²) = Σ_j −½((z_j − μ_j)/σ_j)² − log σ_j − ½ log 2π.

    Args:
        z: points, shape (…, d).
        mean: μ, broadcastable against z.
        log_scale: log σ, broadcastable against z.

    Returns:
        Log-densities, shape (…), in nats.
    """
    per_coordinate: Tensor = -0.5 * ((z - mean) * torch.exp(-log_scale)) ** 2 - log_scale - HALF_LOG_TWO_PI
    return per_coordinate.sum(-1)


def standard_normal(
    count: int, shape: torch.Size, like: Tensor, generator: torch.Generator
) -> Float[Tensor, "count ..."]:
    """Draws of N(0, 1), shape (count, *shape), with the dtype and device of `like`."""
    return torch.randn(count, *shape, generator=generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class GaussianProposal:
    """q(z|x) = N(μ(x), diag σ(x)²), the VAE's encoder.

    Args:
        mean: μ, shape (batch, d).
        log_scale: log σ, shape (batch, d).
    """

    mean: Float[Tensor, "batch d"]
    log_scale: Float[Tensor, "batch d"]

    def sample(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count batch d"]:
        """z = μ + σε, ε ~ N(0, I): differentiable in μ and σ."""
        noise = standard_normal(count, self.mean.shape, self.mean, generator)
        return self.mean + torch.exp(self.log_scale) * noise

    def log_prob(self, z: Float[Tensor, "count ... d"]) -> Float[Tensor, "count batch"]:
        """log q(z|x), in nats."""
        return log_normal_density(z, self.mean, self.log_scale)

    def detached(self) -> GaussianProposal:
        """The same density, its parameters held constant."""
        return GaussianProposal(self.mean.detach(), self.log_scale.detach())

    def kl_to_standard_normal(self) -> Float[Tensor, " batch"]:
        """KL(q(z|x) ‖ N(0, I)) = ½ Σ (σ² + μ² − 1 − log σ²), in nats."""
        return 0.5 * (torch.exp(2 * self.log_scale) + self.mean**2 - 1 - 2 * self.log_scale).sum(-1)


@dataclass(frozen=True)
class FullGaussianProposal:
    """q(z|x) = N(μ(x), LLᵀ), one covariance for the whole batch.

    Args:
        mean: μ, shape (batch, d).
        tril: L, lower triangular with a positive diagonal, shape (d, d).
    """

    mean: Float[Tensor, "batch d"]
    tril: Float[Tensor, "d d"]

    def sample(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count batch d"]:
        """z = μ + Lε: differentiable in μ and L."""
        noise = standard_normal(count, self.mean.shape, self.mean, generator)
        return self.mean + noise @ self.tril.T

    def log_prob(self, z: Float[Tensor, "count ... d"]) -> Float[Tensor, "count batch"]:
        """log q(z|x), in nats."""
        inverse = torch.linalg.solve_triangular(
            self.tril, torch.eye(len(self.tril)).to(self.tril), upper=False
        )
        white = (z - self.mean) @ inverse.T
        log_det = self.tril.diagonal().log().sum()
        density: Tensor = (-0.5 * white**2 - HALF_LOG_TWO_PI).sum(-1) - log_det
        return density

    def detached(self) -> FullGaussianProposal:
        """The same density, its parameters held constant."""
        return FullGaussianProposal(self.mean.detach(), self.tril.detach())


@dataclass(frozen=True)
class DefensiveMixture:
    """(1 − a) q(z|x) + a N(0, I): with a share of the prior no weight exceeds p(x|z)/a.

    Args:
        proposal: q, over z of the shape of `like`.
        like: a tensor of shape (batch, d), for shape, dtype and device.
        share: a in (0, 1).

    Raises:
        ValueError: for a share outside (0, 1).
    """

    proposal: Proposal
    like: Float[Tensor, "batch d"]
    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie in (0, 1), got {self.share!r}")

    def sample(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "count batch d"]:
        """Each draw from the prior with probability a, else from q. Not differentiable in the choice."""
        narrow = draw(self.proposal, count, generator=generator, name="count")
        wide = standard_normal(count, self.like.shape, self.like, generator)
        coins = torch.rand(narrow.shape[:2], generator=generator, device=narrow.device)
        return torch.where((coins < self.share)[..., None], wide, narrow)

    def log_prob(self, z: Float[Tensor, "count ... d"]) -> Float[Tensor, "count batch"]:
        """log((1 − a) q(z|x) + a N(z; 0, I)), in nats."""
        zero = torch.zeros_like(self.like)
        prior = log_normal_density(z, zero, zero)
        return torch.logaddexp(
            math.log1p(-self.share) + evaluated("proposal.log_prob", self.proposal.log_prob, z),
            math.log(self.share) + prior,
        )

    def detached(self) -> DefensiveMixture:
        """The same density, its parameters held constant."""
        return DefensiveMixture(self.proposal.detached(), self.like, self.share)


def prior_proposal(like: Float[Tensor, "batch d"]) -> GaussianProposal:
    """The prior N(0, I) as a proposal, for the shape, dtype and device of `like`."""
    return GaussianProposal(torch.zeros_like(like), torch.zeros_like(like))


def draw(
    proposal: Proposal, samples: int, *, generator: torch.Generator, name: str = "samples"
) -> Float[Tensor, "samples batch d"]:
    """z_k ~ q, as many as asked for: where every function of this package that draws takes a proposal in.

    Args:
        proposal: q.
        samples: K ≥ 1.
        generator: source of randomness.
        name: of the argument `samples`, for the message.

    Returns:
        Draws, shape (samples, batch, d).

    Raises:
        TypeError: for what is no `Proposal`, such as a distribution of `torch.distributions`.
        ValueError: for samples < 1, or draws of another shape.
    """
    count = _checks.count(name, samples)
    if not isinstance(proposal, Proposal):
        raise TypeError(
            f"proposal must have the methods sample(count, generator=…), log_prob(z) and detached(), got {proposal!r}; "
            "for a normal distribution q of torch.distributions, which draws from the global generator, give "
            "GaussianProposal(q.mean, q.stddev.log()) or FullGaussianProposal(q.mean, tril)"
        )
    drawn = proposal.sample(count, generator=generator)
    return returned("proposal.sample", drawn, (count, "batch", "d"), (count,))


def evaluated(
    name: str, log_density: LogJoint, z: Float[Tensor, "samples batch d"]
) -> Float[Tensor, "samples batch"]:
    """A caller's log-density at z, one number a sample and example.

    Args:
        name: of the function, for the message.
        log_density: the function.
        z: where.

    Raises:
        ValueError: when it returns another shape, such as a mean over the batch.
    """
    return returned(name, log_density(z), z.shape[:-1], z.shape)


def log_ratio(
    log_joint: LogJoint, proposal: Proposal, z: Float[Tensor, "samples batch d"]
) -> Float[Tensor, "samples batch"]:
    """log p(x, z) − log q(z|x), both checked to have one number a sample and example.

    Args:
        log_joint: as in `log_weights`.
        proposal: q.
        z: where.

    Raises:
        ValueError: when either returns another shape.
    """
    return evaluated("log_joint", log_joint, z) - evaluated("proposal.log_prob", proposal.log_prob, z)


def log_weights(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator
) -> Float[Tensor, "samples batch"]:
    """log w_k = log p(x, z_k) − log q(z_k|x) with z_k ~ q: their exponentials have mean p(x).

    Args:
        log_joint: z, shape (samples, batch, d) → log p(x, z), shape (samples, batch).
        proposal: q.
        samples: K ≥ 1.
        generator: source of randomness.

    Returns:
        Log-weights, shape (samples, batch), in nats; differentiable.

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for samples < 1; when `log_joint` or the proposal returns another shape.

    Source: kexue.fm/archives/8791, importance sampling.
    """
    return log_ratio(log_joint, proposal, draw(proposal, samples, generator=generator))
