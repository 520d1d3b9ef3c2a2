"""Annealed importance sampling from a proposal to the posterior, and the same path walked backwards.

The path is π_b(z) ∝ q(z)^(1−b) p(x, z)^b, 0 = b_0 < … < b_T = 1; with q the prior this is p(z) p(x|z)^b.
Forward, from z ~ q: the mean of e^(log w) is p(x), so log w is a stochastic lower bound on log p(x).
Backward, from an exact posterior sample: the mean of e^(−log w) is 1/p(x), so log w is a stochastic upper bound.

Step sizes are adapted in a run of their own and frozen: adapting inside the scored run would void the identity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kexue.density import _checks
from kexue.density.hmc import adapt, hmc_step
from kexue.density.proposals import LogJoint, Proposal, draw, evaluated, log_ratio


class StepSizes(NamedTuple):
    """A frozen step size a temperature and example, shape (temperatures, batch), and the pilot's mean acceptance."""

    sizes: Float[Tensor, "temperatures batch"]
    acceptance: float


def schedule(temperatures: int) -> Float64[Tensor, " bridges"]:
    """b_0 = 0 … b_T = 1, a sigmoid on [−4, 4] rescaled: short steps where the path is steep, at both ends.

    Args:
        temperatures: T ≥ 1.

    Raises:
        ValueError: for T < 1.

    Source: Wu, Burda, Salakhutdinov, Grosse 2017.
    """
    count = _checks.count("temperatures", temperatures)
    raw = torch.sigmoid(torch.linspace(-4, 4, count + 1, dtype=torch.float64))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def _bridge(log_joint: LogJoint, proposal: Proposal, b: float) -> LogJoint:
    def log_density(z: Tensor) -> Tensor:
        log_q = evaluated("proposal.log_prob", proposal.log_prob, z)
        return (1 - b) * log_q + b * evaluated("log_joint", log_joint, z)

    return log_density


def tune(
    log_joint: LogJoint,
    proposal: Proposal,
    temperatures: int,
    *,
    generator: torch.Generator,
    chains: int = 4,
    leapfrogs: int = 10,
    start: float = 0.1,
) -> StepSizes:
    """A pilot run along the path that adapts the step size as it goes; the sizes it used are kept, its weights are not.

    Args:
        log_joint: z, shape (chains, batch, d) → log p(x, z), shape (chains, batch), differentiable.
        proposal: q, where the path begins.
        temperatures: T ≥ 1.
        generator: source of randomness.
        chains: number of chains ≥ 1.
        leapfrogs: leapfrog steps a transition ≥ 1.
        start: first step size > 0; twenty transitions at b_1 correct it before the path begins.

    Returns:
        The step sizes for b_1 … b_T.

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for arguments out of range; when `log_joint` or the proposal returns another shape than it should.
    """
    with torch.no_grad():
        z = draw(proposal, chains, generator=generator, name="chains")
    size = torch.full((z.shape[1],), _checks.positive("start", start), dtype=z.dtype, device=z.device)
    levels = schedule(temperatures).tolist()
    sizes, accepted = [], []
    for _ in range(20):
        z, probability = hmc_step(
            _bridge(log_joint, proposal, levels[1]), z, size, leapfrogs=leapfrogs, generator=generator
        )
        size = adapt(size, probability, rate=1.3)
    for b in levels[1:]:
        z, probability = hmc_step(
            _bridge(log_joint, proposal, b), z, size, leapfrogs=leapfrogs, generator=generator
        )
        sizes.append(size)
        accepted.append(probability.mean())
        size = adapt(size, probability)
    return StepSizes(torch.stack(sizes), float(torch.stack(accepted).mean()))


def forward_weights(
    log_joint: LogJoint,
    proposal: Proposal,
    steps: StepSizes,
    *,
    generator: torch.Generator,
    chains: int = 16,
    leapfrogs: int = 10,
) -> Float64[Tensor, "chains batch"]:
    """log w = Σ_t (b_t − b_{t−1}) (log p(x, z_{t−1}) − log q(z_{t−1})), z_t one HMC step at b_t from z_{t−1}, z_0 ~ q.

    Args:
        log_joint: as in `tune`.
        proposal: q.
        steps: frozen step sizes, one a temperature.
        generator: source of randomness.
        chains: number of chains ≥ 1.
        leapfrogs: leapfrog steps a transition ≥ 1.

    Returns:
        Log-weights, shape (chains, batch), float64: their exponentials have mean p(x).

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for arguments out of range; when `log_joint` or the proposal returns another shape than it should.

    Source: Neal 2001; Wu et al. 2017.
    """
    levels = schedule(len(steps.sizes)).tolist()
    with torch.no_grad():
        z = draw(proposal, chains, generator=generator, name="chains")
    log_w = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    for t, size in enumerate(steps.sizes):
        with torch.no_grad():
            log_w += (levels[t + 1] - levels[t]) * log_ratio(log_joint, proposal, z).double()
        if t < len(steps.sizes) - 1:  # the last transition would not be scored
            z, _ = hmc_step(
                _bridge(log_joint, proposal, levels[t + 1]), z, size, leapfrogs=leapfrogs, generator=generator
            )
    return log_w


def backward_weights(
    log_joint: LogJoint,
    proposal: Proposal,
    steps: StepSizes,
    posterior_sample: Float[Tensor, "chains batch d"],
    *,
    generator: torch.Generator,
    leapfrogs: int = 10,
) -> Float64[Tensor, "chains batch"]:
    """The same sum along the path walked from b = 1 to 0, from exact posterior samples.

    Args:
        log_joint: as in `tune`.
        proposal: q.
        steps: frozen step sizes, the forward run's.
        posterior_sample: draws from p(z|x): the z of simulated x, repeated over the chains or not.
        generator: source of randomness.
        leapfrogs: leapfrog steps a transition ≥ 1.

    Returns:
        Log-weights, shape (chains, batch), float64: the exponentials of their negatives have mean 1/p(x).

    Source: Grosse, Ghahramani, Adams 2015.
    """
    levels = schedule(len(steps.sizes)).tolist()
    z = posterior_sample
    log_w = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    for t in reversed(range(len(steps.sizes))):
        if t < len(steps.sizes) - 1:
            z, _ = hmc_step(
                _bridge(log_joint, proposal, levels[t + 1]),
                z,
                steps.sizes[t],
                leapfrogs=leapfrogs,
                generator=generator,
            )
        with torch.no_grad():
            log_w += (levels[t + 1] - levels[t]) * log_ratio(log_joint, proposal, z).double()
    return log_w


def lower_bound(forward: Float64[Tensor, "chains batch"]) -> Float64[Tensor, " batch"]:
    """log of the chains' mean weight: at most log p(x) on average, and rarely far above."""
    bound: Tensor = torch.logsumexp(forward, 0) - math.log(len(forward))
    return bound


def upper_bound(backward: Float64[Tensor, "chains batch"]) -> Float64[Tensor, " batch"]:
    """−log of the chains' mean inverse weight: at least log p(x) on average."""
    bound: Tensor = math.log(len(backward)) - torch.logsumexp(-backward, 0)
    return bound
