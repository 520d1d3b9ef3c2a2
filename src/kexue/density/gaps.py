"""The exact gap log p(x) − L_K of an importance-weighted bound, at any K, without drawing a sample.

For independent weights w ≥ 0 with E w = 1 and φ(t) = E e^(−tw), Frullani's integral log S = ∫ (e^(−t) − e^(−tS)) dt/t gives

    E log Σ w = ∫_{−∞}^{∞} (exp(−e^u) − φ(e^u)^K) du,    gap = log K − E log Σ w,

one quadrature over the law of one weight and one over u. K enters as an exponent, so K = 10⁶ costs what K = 1 costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from scipy.stats import ncx2
from torch import Tensor

from kexue.density import _checks
from kexue.density.proposals import HALF_LOG_TWO_PI


class Weights(NamedTuple):
    """The law of one normalised log-weight as a quadrature: log w at nodes, and the nodes' probabilities under q."""

    log_w: Float64[Tensor, " nodes"]
    probability: Float64[Tensor, " nodes"]


def exact_gaps(weights: Weights, samples: Sequence[int], *, step: float = 0.1) -> Float64[Tensor, " counts"]:
    """log p(x) − L_K for each K.

    Args:
        weights: the law of w/p(x): probabilities that sum to 1, E w = 1.
        samples: the values of K, each ≥ 1.
        step: step of the trapezoid in u = log t.

    Returns:
        The gaps, in nats, float64; good to about 1e-8 absolute for smooth weights.

    Raises:
        ValueError: for K < 1; for probabilities or weights whose mean is not 1 to 1e-6.

    Source: this project; Frullani's integral.
    """
    for count in samples:
        _checks.count("samples", count)
    log_w, probability = weights
    mass, mean = float(probability.sum()), float((probability * torch.exp(log_w)).sum())
    if abs(mass - 1) > 1e-6 or abs(mean - 1) > 1e-6:
        raise ValueError(
            f"weights must be a law with mean 1: the probabilities sum to {mass:.8g}, E w = {mean:.8g}"
        )
    held = probability > 0
    log_w, probability = log_w[held], probability[held]
    low = -45.0 - math.log(max(samples))
    high = 40.0 + max(0.0, -float(log_w.min()))
    u = torch.arange(low, min(high, 800.0), step, dtype=torch.float64)
    complement = torch.cat(
        [
            -torch.expm1(-torch.exp((part[:, None] + log_w).clamp(max=700))) @ probability
            for part in torch.split(u, max(1, 2**22 // len(log_w)))
        ]
    )  # 1 − φ(e^u), by expm1: at small t it is all that matters
    log_phi = torch.log1p(-complement.clamp(max=1 - 1e-16))
    first = torch.exp(-torch.exp(u.clamp(max=700)))
    gaps = [math.log(count) - float((first - torch.exp(count * log_phi)).sum() * step) for count in samples]
    return torch.tensor(gaps, dtype=torch.float64)


def gaussian_weights(shift: float, scale: float, *, nodes: int = 2001) -> Weights:
    """w = N(z; 0, 1)/N(z; δ, τ²) for z ~ N(δ, τ²), on a grid that covers both densities to 12 deviations.

    Args:
        shift: δ.
        scale: τ > 0.
        nodes: grid points.

    Raises:
        ValueError: for τ ≤ 0.
    """
    _checks.positive("scale", scale)
    low, high = min(-12.0, shift - 12 * scale), max(12.0, shift + 12 * scale)
    z = torch.linspace(low, high, nodes, dtype=torch.float64)
    log_q = -0.5 * ((z - shift) / scale) ** 2 - math.log(scale) - HALF_LOG_TWO_PI
    log_p = -0.5 * z**2 - HALF_LOG_TWO_PI
    return Weights(log_p - log_q, torch.exp(log_q) * (z[1] - z[0]))


def defensive_weights(scale: float, share: float, prior_scale: float, *, nodes: int = 4001) -> Weights:
    """The same at δ = 0 with a share a of the proposal replaced by the prior, N(0, s²) in posterior units.

    Args:
        scale: τ > 0.
        share: a in [0, 1].
        prior_scale: s > 0.
        nodes: grid points.

    Raises:
        ValueError: for τ ≤ 0, s ≤ 0 or a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share!r}")
    reach = 12 * max(1.0, _checks.positive("scale", scale), _checks.positive("prior_scale", prior_scale))
    z = torch.linspace(-reach, reach, nodes, dtype=torch.float64)
    q = (1 - share) * torch.exp(-0.5 * (z / scale) ** 2) / scale
    q = (q + share * torch.exp(-0.5 * (z / prior_scale) ** 2) / prior_scale) / math.sqrt(2 * math.pi)
    return Weights(-0.5 * z**2 - HALF_LOG_TWO_PI - torch.log(q), q * (z[1] - z[0]))


def mean_field_weights(correlation: float, *, step: float = 0.05) -> Weights:
    """A two-dimensional Gaussian posterior of precision [[1, r], [r, 1]] under its best diagonal q = N(0, I).

    log w = ½ log(1 − r²) − r·ab with a, b ~ N(0, 1), and the product x = ab has density K₀(|x|)/π, laid out here in log |x|.

    Args:
        correlation: r, |r| < 1.
        step: step of the grid in log |x|.

    Raises:
        ValueError: for |r| ≥ 1.
    """
    if not abs(correlation) < 1:
        raise ValueError(f"correlation must lie in (−1, 1), got {correlation!r}")
    reach = math.log(45 / (1 - abs(correlation)))  # where the posterior's tail e^(−(1 − |r|)|x|) has died out
    x = torch.exp(torch.arange(-40.0, reach, step, dtype=torch.float64))
    density = torch.special.scaled_modified_bessel_k0(x) * torch.exp(-x) / math.pi
    side = density * x * step
    product = torch.cat([-x.flip(0), x])
    return Weights(
        0.5 * math.log1p(-(correlation**2)) - correlation * product, torch.cat([side.flip(0), side])
    )


def isotropic_weights(dimension: int, distance: float, scale: float, *, nodes: int = 800) -> Weights:
    """A posterior N(0, I_d) under q = N(δ, τ²I), τ > 1, |δ| = `distance`: the prior is one such q in posterior units.

    With a = 1 − 1/τ², log w = −½a|u − c|² + ½|δ|²/(aτ⁴) + ½|δ|²/τ² + d log τ for c = −δ/(τ² − 1), and under q the square
    |u − c|²/τ² is noncentral χ² with d degrees and noncentrality |δ|²τ²/(τ² − 1)²: one number, whatever d.

    Args:
        dimension: d ≥ 1.
        distance: |δ| ≥ 0, in posterior deviations.
        scale: τ > 1.
        nodes: grid points in the logarithm of the square.

    Raises:
        ValueError: for d < 1, a negative distance or τ ≤ 1.
    """
    _checks.count("dimension", dimension)
    if not scale > 1 or distance < 0:
        raise ValueError(f"want scale > 1 and distance ≥ 0, got scale={scale!r}, distance={distance!r}")
    square, slope_of_log = scale**2, 1 - 1 / scale**2
    noncentrality = distance**2 * square / (square - 1) ** 2
    middle, spread = dimension + noncentrality, math.sqrt(2 * (dimension + 2 * noncentrality))
    log_q = torch.linspace(-40 / dimension, math.log(middle + 12 * spread + 60), nodes, dtype=torch.float64)
    values = torch.exp(log_q)
    density = torch.from_numpy(ncx2.pdf(values.numpy(), dimension, max(noncentrality, 1e-12)))
    constant = 0.5 * distance**2 * (1 / (slope_of_log * square**2) + 1 / square) + dimension * math.log(scale)
    log_w = constant - 0.5 * slope_of_log * square * values
    return Weights(log_w, density * values * (log_q[1] - log_q[0]))


def log_normal_weights(variance: float, *, nodes: int = 2001) -> Weights:
    """log w ~ N(−s²/2, s²): what many independent latent numbers add up to.

    Args:
        variance: s² > 0, in nats².
        nodes: grid points.

    Raises:
        ValueError: for s² ≤ 0.
    """
    s = math.sqrt(_checks.positive("variance", variance))
    z = torch.linspace(
        -12, 12 + s, nodes, dtype=torch.float64
    )  # also where e^{log w} has its mass, around z = s
    probability = torch.exp(-0.5 * z**2 - HALF_LOG_TWO_PI) * (z[1] - z[0])
    return Weights(s * z - 0.5 * variance, probability)


def extreme_value_gap(variance: float, samples: int) -> float:
    """s²/2 − s E[max of K standard normals] + log K, an upper bound on the gap of log-normal weights.

    The sum is at least its largest term. E max is integrated exactly.

    Args:
        variance: s² > 0, in nats².
        samples: K ≥ 1.

    Returns:
        The bound, in nats.

    Raises:
        ValueError: for s² ≤ 0 or K < 1.
    """
    s = math.sqrt(_checks.positive("variance", variance))
    _checks.count("samples", samples)
    step = 0.0025
    z = torch.arange(-12 + step / 2, 12, step, dtype=torch.float64)  # midpoints: the integrand jumps at 0
    below = torch.exp(samples * torch.special.log_ndtr(z))
    largest = step * float(torch.where(z > 0, 1 - below, -below).sum())
    return variance / 2 - s * largest + math.log(samples)


def slope(samples: Sequence[int], gaps: Float64[Tensor, " counts"]) -> float:
    """The least-squares slope of log gap against log K.

    Args:
        samples: the values of K, at least two.
        gaps: > 0, in nats.

    Raises:
        ValueError: when a gap is not positive, or the lengths differ.
    """
    if len(samples) != len(gaps) or len(samples) < 2 or not bool((gaps > 0).all()):
        raise ValueError(f"gaps must be positive, one for each of at least 2 samples; got {gaps.tolist()}")
    x = torch.tensor([math.log(count) for count in samples], dtype=torch.float64)
    x, y = x - x.mean(), gaps.log()
    return float((x * (y - y.mean())).sum() / (x * x).sum())
