"""Hamiltonian Monte Carlo on many chains at once: one step that leaves a density invariant, and a pilot for its step size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.checks import returned
from kexue.density import _checks

LogDensity = Callable[[Tensor], Tensor]
TARGET = 0.65  # the acceptance at which HMC is most efficient in high dimension (Beskos et al. 2013)


def _value_and_gradient(log_density: LogDensity, z: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = returned("log_density", log_density(z), z.shape[:-1], z.shape)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient


def hmc_step(
    log_density: LogDensity,
    z: Float[Tensor, "chains batch d"],
    step_size: Float[Tensor, " batch"],
    *,
    leapfrogs: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "chains batch d"], Float[Tensor, "chains batch"]]:
    """One proposal of `leapfrogs` leapfrog steps with unit mass, accepted with probability min(1, e^(−ΔH)).

    Args:
        log_density: z, shape (chains, batch, d) → log π(z) up to a constant, shape (chains, batch).
        z: where the chains are.
        step_size: ε an example.
        leapfrogs: number of steps ≥ 1.
        generator: source of randomness.

    Returns:
        Where the chains go, and the probability with which each was accepted.

    Raises:
        ValueError: for leapfrogs < 1; when `log_density` returns another shape than it should.

    Source: Neal 2011.
    """
    _checks.count("leapfrogs", leapfrogs)
    like = {"generator": generator, "dtype": z.dtype, "device": z.device}
    epsilon = step_size[None, :, None]
    momentum = torch.randn(z.shape, **like)  # type: ignore[call-overload]
    before, gradient = _value_and_gradient(log_density, z)
    energy = before - 0.5 * (momentum**2).sum(-1)
    position, momentum = z, momentum + 0.5 * epsilon * gradient
    for i in range(leapfrogs):
        position = position + epsilon * momentum
        value, gradient = _value_and_gradient(log_density, position)
        momentum = momentum + (0.5 if i == leapfrogs - 1 else 1.0) * epsilon * gradient
    change = value - 0.5 * (momentum**2).sum(-1) - energy
    probability = torch.nan_to_num(
        torch.exp(change.clamp(max=0)), nan=0.0
    )  # a chain that diverged stays where it was
    uniform = torch.rand(z.shape[:2], **like)  # type: ignore[call-overload]
    return torch.where((uniform < probability)[..., None], position, z), probability


def adapt(
    step_size: Float[Tensor, " batch"], acceptance: Float[Tensor, "chains batch"], *, rate: float = 1.1
) -> Float[Tensor, " batch"]:
    """ε times `rate` for an example whose chains accepted more than 0.65 on average, divided by it otherwise."""
    factor = torch.where(acceptance.mean(0) > TARGET, rate, 1 / rate)
    return step_size * factor.to(step_size)
