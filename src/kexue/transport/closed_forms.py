"""Wasserstein distances that are known in closed form, and expected batch distances that are: the oracles."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln, ndtr, xlog1py, xlogy

from kexue.transport import _checks


def mean_norm(d: int) -> float:
    """E‖z‖ = √2 Γ((d+1)/2) / Γ(d/2) for z ~ N(0, I_d).

    Args:
        d: dimension ≥ 1.

    Returns:
        A number near √d; 7.9688 at d = 64.

    Raises:
        ValueError: for d < 1.
    """
    _checks.whole("d", d, 1)
    return math.sqrt(2) * math.exp(float(gammaln((d + 1) / 2) - gammaln(d / 2)))


def gaussians_on_a_line(shift: float, scale_x: float, scale_y: float) -> float:
    """W1(N(0, s²), N(Δ, t²)) = δ √(2/π) e^{−Δ²/2δ²} + Δ (1 − 2Φ(−Δ/δ)) with δ = |s − t|.

    Args:
        shift: difference Δ of the means.
        scale_x: standard deviation s ≥ 0.
        scale_y: standard deviation t ≥ 0.

    Returns:
        The distance; |Δ| where the scales agree.

    Raises:
        ValueError: for a negative scale or anything not finite.

    Source: the comonotone coupling leaves Δ + δz, z ~ N(0, 1): the mean of a folded normal.
    """
    gap = abs(_checks.real("shift", shift))
    spread = abs(_checks.real("scale_x", scale_x, at_least=0) - _checks.real("scale_y", scale_y, at_least=0))
    if spread == 0 or gap > 40 * spread:  # the other terms are below 1e-300, and the square would overflow
        return gap
    ratio = gap / spread
    return spread * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + gap * (1 - 2 * float(ndtr(-ratio)))


def isotropic_gaussians(d: int, scale_x: float, scale_y: float) -> float:
    """W1(N(0, s² I), N(0, t² I)) = |s − t| E‖z‖, z ~ N(0, I): mass moves along rays, and f = ‖x‖ certifies it.

    Args:
        d: dimension ≥ 1.
        scale_x: standard deviation s ≥ 0 of a coordinate.
        scale_y: standard deviation t ≥ 0.

    Returns:
        The distance.

    Raises:
        ValueError: for d < 1 or a negative scale.
    """
    s, t = _checks.real("scale_x", scale_x, at_least=0), _checks.real("scale_y", scale_y, at_least=0)
    return abs(s - t) * mean_norm(d)


def single_draw_gaussians(d: int, scale_x: float, scale_y: float) -> float:
    """W̄_1 = E‖x − y‖ = √(s² + t²) E‖z‖ for x ~ N(0, s² I), y ~ N(0, t² I): least at t = 0, for every s.

    Args:
        d: dimension ≥ 1.
        scale_x: standard deviation s ≥ 0 of a coordinate.
        scale_y: standard deviation t ≥ 0.

    Returns:
        The expected distance between batches of one.

    Raises:
        ValueError: for d < 1 or a negative scale.
    """
    s, t = _checks.real("scale_x", scale_x, at_least=0), _checks.real("scale_y", scale_y, at_least=0)
    return math.hypot(s, t) * mean_norm(d)


def uniform_batches(m: int) -> float:
    """W̄_m of the uniform law on [0, 1] with itself: E ∫ |F_m − G_m| dt, exactly.

    With i and j of m points below t, the integral over t of their binomial probabilities is a beta function:
    W̄_m = (1/m) Σ_ij |i − j| C(m,i) C(m,j) / ((2m+1) C(2m,i+j)). Tends to (π/8) √(4/π) / √m = 0.443/√m.

    Args:
        m: batch size, 1 to 4,096.

    Returns:
        The expected distance; 1/3 at m = 1.

    Raises:
        ValueError: for m out of range.
    """
    _checks.whole("m", m, 1, 4096)
    below, log_choose = np.arange(m + 1), _log_choose(m)
    log_both = _log_choose(2 * m)[below[:, None] + below]
    probability = np.exp(log_choose[:, None] + log_choose - log_both) / (2 * m + 1)
    return float((np.abs(below[:, None] - below) * probability).sum() / m)


def bernoulli_batches(p: float, q: float, m: int = 1) -> float:
    """W̄_m of two coins: E|B_m(p) − B_m(q)| / m; at m = 1 it is p(1 − q) + q(1 − p), linear in q.

    Args:
        p: probability of one, in [0, 1].
        q: probability of one, in [0, 1].
        m: batch size, 1 to 4,096.

    Returns:
        The expected batch distance, where W1 itself is |p − q|.

    Raises:
        ValueError: for a probability or size out of range.

    Source: Bellemare et al., The Cramér Distance (2017), the biased-gradient example.
    """
    for name, value in (("p", p), ("q", q)):
        if _checks.real(name, value, at_least=0) > 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
    _checks.whole("m", m, 1, 4096)
    ones = np.arange(m + 1)
    first, second = (np.exp(_log_choose(m) + xlogy(ones, r) + xlog1py(m - ones, -r)) for r in (p, q))
    joint = first[:, None] * second
    return float((np.abs(ones[:, None] - ones) * joint).sum() / m)


def _log_choose(m: int) -> Float64[np.ndarray, " m1"]:
    """log C(m, k) for k = 0 … m."""
    k = np.arange(m + 1)
    values: np.ndarray = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    return values
