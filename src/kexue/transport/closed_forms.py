"""Wasserstein distances that are known in closed form: the oracles."""

from __future__ import annotations

import math

from scipy.special import gammaln, ndtr

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
