"""Any model with one latent number, integrated on a grid: p(x), its posterior, and the best Gaussian encoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from kexue.checks import returned
from kexue.density import _checks
from kexue.density.proposals import (
    HALF_LOG_TWO_PI,
    GaussianProposal,
    LogJoint,
    log_normal_density,
    log_ratio,
)


class Grid(NamedTuple):
    """Evenly spaced z, shape (nodes, 1, 1), and their step: the trapezoid, exact to rounding for smooth densities."""

    z: Float64[Tensor, "nodes 1 1"]
    step: float


def grid(low: float, high: float, nodes: int) -> Grid:
    """A grid on [low, high].

    Args:
        low: left end.
        high: right end, above `low`.
        nodes: points, at least 2.

    Raises:
        ValueError: for a range or number of nodes out of order.
    """
    if not low < high or nodes < 2:
        raise ValueError(f"grid must have low < high and at least 2 nodes, got {low!r}, {high!r}, {nodes!r}")
    z = torch.linspace(low, high, nodes, dtype=torch.float64)
    return Grid(z[:, None, None], float(z[1] - z[0]))


def log_marginal(log_joint: LogJoint, points: Grid) -> Float64[Tensor, " batch"]:
    """log ∫ p(x, z) dz for a model with one latent number, in nats.

    Args:
        log_joint: z, shape (nodes, batch or 1, 1) → log p(x, z), shape (nodes, batch).
        points: where.
    """
    return torch.logsumexp(_on(points, log_joint), 0) + math.log(points.step)


def _on(points: Grid, log_joint: LogJoint) -> Float64[Tensor, "nodes batch"]:
    """log p(x, z) at every node, the examples in the second axis."""
    return returned("log_joint", log_joint(points.z), (len(points.z), "batch"), points.z.shape)


def chi_square(log_joint: LogJoint, proposal: GaussianProposal, points: Grid) -> Float64[Tensor, " batch"]:
    """χ² = ∫ p(z|x)²/q(z|x) dz − 1, clamped at e^700: 1/(1 + χ²) is the share of samples that are effective.

    Args:
        log_joint: as in `log_marginal`.
        proposal: q, one latent number an example.
        points: where; wide enough for p²/q.
    """
    log_posterior = _on(points, log_joint)
    log_posterior = log_posterior - torch.logsumexp(log_posterior, 0) - math.log(points.step)
    log_q = returned(
        "proposal.log_prob", proposal.log_prob(points.z), (len(points.z), "batch"), points.z.shape
    )
    log_mean_square = torch.logsumexp(2 * log_posterior - log_q, 0) + math.log(points.step)
    return torch.expm1(log_mean_square.clamp(max=700))


def kl_to_posterior(
    log_joint: LogJoint, proposal: GaussianProposal, *, nodes: int = 64
) -> Float64[Tensor, " batch"]:
    """KL(q ‖ p(z|x)) − log p(x) = −ELBO, by a grid of ±7 deviations around q's own mean: differentiable in q.

    Args:
        log_joint: as in `log_marginal`.
        proposal: q, one latent number an example.
        nodes: grid points.

    Returns:
        The negative ELBO an example, in nats.
    """
    noise = torch.linspace(-7, 7, nodes, dtype=torch.float64)[:, None, None]
    mass = torch.exp(-0.5 * noise[..., 0] ** 2 - HALF_LOG_TWO_PI) * float(noise[1] - noise[0])
    z = proposal.mean + torch.exp(proposal.log_scale) * noise
    return -(log_ratio(log_joint, proposal, z) * mass).sum(0)


def best_gaussian(log_joint: LogJoint, start: GaussianProposal, *, steps: int = 200) -> GaussianProposal:
    """The Gaussian q with the largest ELBO, by Adam from `start` with a rate that falls to zero.

    Args:
        log_joint: as in `log_marginal`.
        start: where to begin; one latent number an example.
        steps: number of steps ≥ 1.

    Raises:
        ValueError: for steps < 1.
    """
    _checks.count("steps", steps)
    scale = torch.exp(start.log_scale)
    offset = torch.zeros_like(start.mean, requires_grad=True)  # in units of the start's deviation
    stretch = torch.zeros_like(start.mean, requires_grad=True)
    optimiser = torch.optim.Adam([offset, stretch], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        proposal = GaussianProposal(start.mean + offset * scale, start.log_scale + stretch)
        kl_to_posterior(log_joint, proposal).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return GaussianProposal(start.mean + offset * scale, start.log_scale + stretch).detached()


def moment_match(log_joint: LogJoint, points: Grid) -> GaussianProposal:
    """The Gaussian with the posterior's mean and variance, one latent number an example."""
    shares = torch.softmax(_on(points, log_joint), 0)[..., None]
    mean = (shares * points.z).sum(0)
    variance = (shares * (points.z - mean) ** 2).sum(0)
    return GaussianProposal(mean, 0.5 * variance.clamp(min=1e-12).log())


def normal_log_joint(x: Float64[Tensor, "batch data"], decode: LogJoint, noise: float) -> LogJoint:
    """log p(x, z) of z ~ N(0, I), x | z ~ N(f(z), σ²I).

    Args:
        x: data, shape (batch, D).
        decode: f, from z, shape (…, d), to the mean of x, shape (…, D).
        noise: σ > 0.

    Raises:
        ValueError: for σ ≤ 0.
    """
    log_noise = torch.full_like(x[:1], math.log(_checks.positive("noise", noise)))

    def log_joint(z: Tensor) -> Tensor:
        zero = torch.zeros_like(z[:1])
        mean = returned("decode", decode(z), (*z.shape[:-1], x.shape[1]), z.shape)
        return log_normal_density(x, mean, log_noise) + log_normal_density(z, zero, zero)

    return log_joint
