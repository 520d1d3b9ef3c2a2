"""The Gaussians of a group: prior, posterior relative to it, and the KL between them.

The prior of group l is N(μ, σ²), read off the decoder's state. The posterior is *relative*, N(μ + Δμ, σ²·Δσ²), so that
it moves along when the prior moves, and KL = ½ (Δμ²/σ² + Δσ² − log Δσ² − 1): no prior mean in it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

PARAMETERISATIONS = ("residual", "absolute", "released")


class Normal(NamedTuple):
    """Independent Gaussians: means and standard deviations, any shape, the same for both."""

    mean: Float[Tensor, "*shape"]
    scale: Float[Tensor, "*shape"]


def kl_residual(
    shift: Float[Tensor, "*shape"], log_ratio: Float[Tensor, "*shape"], prior_scale: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """KL(N(μ + Δμ, σ²Δσ²) ‖ N(μ, σ²)) = ½ (Δμ²/σ² + Δσ² − log Δσ² − 1), elementwise.

    Args:
        shift: Δμ.
        log_ratio: log Δσ.
        prior_scale: σ.

    Returns:
        Nats a coordinate.

    Source: arXiv 2007.03898, section 3.2, equation 3; kexue.fm/archives/7574.
    """
    return 0.5 * ((shift / prior_scale).square() + torch.expm1(2 * log_ratio)) - log_ratio


def kl_normal(q: Normal, p: Normal) -> Float[Tensor, "*shape"]:
    """KL(q ‖ p) = log(σ_p/σ_q) + (σ_q² + (μ_q − μ_p)²)/(2σ_p²) − ½, elementwise, in nats."""
    ratio = q.scale / p.scale
    return 0.5 * (ratio.square() + ((q.mean - p.mean) / p.scale).square() - 1) - ratio.log()


def log_density(z: Float[Tensor, " ..."], of: Normal) -> Float[Tensor, " ..."]:
    """−½ ((z − μ)/σ)² − log σ − ½ log 2π, elementwise, in nats; z and the parameters broadcast."""
    return -0.5 * ((z - of.mean) / of.scale).square() - of.scale.log() - 0.5 * math.log(2 * math.pi)


def draw(
    of: Normal, *, generator: torch.Generator | None, temperature: float = 1.0
) -> Float[Tensor, "*shape"]:
    """μ + temperature · σ · ε with ε ~ N(0, 1) from the generator (None: torch's own)."""
    noise = torch.randn(of.mean.shape, generator=generator, device=of.mean.device, dtype=of.mean.dtype)
    return of.mean + temperature * of.scale * noise


def soft_clamp(x: Float[Tensor, "*shape"], bound: float = 5.0) -> Float[Tensor, "*shape"]:
    """bound · tanh(x / bound): the identity near 0, never beyond ±bound."""
    return bound * torch.tanh(x / bound)


def prior(mean: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"], parameterisation: str) -> Normal:
    """The prior of a group from its head.

    Args:
        mean: the head's μ.
        log_scale: the head's log σ.
        parameterisation: "residual" and "absolute" (the paper's): N(μ, σ²) as it stands. "released": μ and log σ through
            5 tanh(·/5), and σ + 0.01, as the official code has it.

    Returns:
        p(z_l | z_<l).
    """
    if parameterisation == "released":
        return Normal(soft_clamp(mean), soft_clamp(log_scale).exp() + 0.01)
    return Normal(mean, log_scale.exp())


def posterior(
    heads: tuple[Tensor, Tensor], prior_heads: tuple[Tensor, Tensor], parameterisation: str
) -> tuple[Normal, Float[Tensor, "*shape"]]:
    """The posterior of a group and its KL from the prior.

    Args:
        heads: (Δμ, log Δσ) of the posterior head; for "absolute" the mean and log-scale themselves.
        prior_heads: (μ, log σ) of the prior head.
        parameterisation: "residual": N(μ + Δμ, σ²Δσ²), KL in closed form by `kl_residual`. "absolute": no reference to
            the prior. "released": heads are added, *then* clamped and floored, so the sum is not relative.

    Returns:
        q(z_l | z_<l, x) and the KL of each coordinate, in nats.

    Raises:
        ValueError: for an unknown parameterisation.

    Source: arXiv 2007.03898, section 3.2; the released variant: the official code's distributions.py.
    """
    (shift, log_ratio), (mean, log_scale) = heads, prior_heads
    if parameterisation == "residual":
        scale = log_scale.exp()
        return Normal(mean + shift, (log_scale + log_ratio).exp()), kl_residual(shift, log_ratio, scale)
    if parameterisation == "absolute":
        q = Normal(shift, log_ratio.exp())
    elif parameterisation == "released":
        q = Normal(soft_clamp(mean + shift), soft_clamp(log_scale + log_ratio).exp() + 0.01)
    else:
        raise ValueError(
            f"parameterisation must be one of {', '.join(PARAMETERISATIONS)}; got {parameterisation!r}"
        )
    return q, kl_normal(q, prior(mean, log_scale, parameterisation))
