"""Angles between independent uniform directions in n dimensions: density, tail, the closest of many pairs."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import betainc, gammaln

from kexue.arrays import Numbers, array
from kexue.embedding import _checks
from kexue.embedding._checks import Real


def angle_density(theta: Float64[np.ndarray, "*shape"] | Numbers, n: Real) -> Float64[np.ndarray, "*shape"]:
    """p_n(θ) = Γ(n/2)/(Γ((n−1)/2) √π) · sinⁿ⁻²θ on [0, π].

    Args:
        theta: angles in radians, any shape, in [0, π].
        n: dimension ≥ 2.

    Returns:
        The density per radian, of the same shape.

    Raises:
        ValueError: for n < 2, or an angle outside [0, π].

    Source: kexue.fm/archives/7695, quoting archives/7076.
    """
    theta = array("theta", theta)
    size = _checks.dimension(n)
    if not ((theta >= 0) & (theta <= math.pi)).all():
        raise ValueError(f"theta must lie in [0, π], got values from {np.min(theta)} to {np.max(theta)}")
    log_norm = float(gammaln(size / 2) - gammaln((size - 1) / 2)) - math.log(math.pi) / 2
    if size == 2:  # where 0 · log 0 would be needed at the ends
        return np.full_like(theta, 1 / math.pi)
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(log_norm + (size - 2) * np.log(np.sin(theta))))


def cosine_distribution(
    cosine: Float64[np.ndarray, "*shape"] | Numbers, n: Real
) -> Float64[np.ndarray, "*shape"]:
    """P(cos θ ≤ c), from (1 + cos θ)/2 ~ Beta((n−1)/2, (n−1)/2).

    Args:
        cosine: values c in [−1, 1], any shape.
        n: dimension ≥ 2.

    Returns:
        Probabilities, of the same shape.

    Raises:
        ValueError: for n < 2, or a cosine outside [−1, 1].
    """
    cosine = array("cosine", cosine)
    half = (_checks.dimension(n) - 1) / 2
    if not ((cosine >= -1) & (cosine <= 1)).all():
        raise ValueError(f"cosine must lie in [−1, 1], got values from {np.min(cosine)} to {np.max(cosine)}")
    return np.asarray(betainc(half, half, (1 + cosine) / 2), dtype=np.float64)


def cosine_tail(cosine: Real, n: Real) -> float:
    """P(cos θ ≥ c) = I_{(1−c)/2}((n−1)/2, (n−1)/2), with full relative precision in the tail.

    Args:
        cosine: c in [−1, 1].
        n: dimension ≥ 2.

    Returns:
        A probability.

    Raises:
        ValueError: for n < 2, or a cosine outside [−1, 1].
    """
    c, size = _checks.real("cosine", cosine), _checks.dimension(n)
    if not -1 <= c <= 1:
        raise ValueError(f"cosine must lie in [−1, 1], got {cosine!r}")
    return float(betainc((size - 1) / 2, (size - 1) / 2, (1 - c) / 2))


def typical_largest_cosine(pairs: Real, n: Real) -> float:
    """The cosine c with pairs · P(cos θ ≥ c) = 1: about where the closest of so many pairs lies.

    Args:
        pairs: number of pairs > 2 (N² for N centres and N contexts).
        n: dimension ≥ 2.

    Returns:
        A cosine in (0, 1).

    Raises:
        ValueError: for n < 2 or pairs ≤ 2.
    """
    count, size = _checks.real("pairs", pairs, above=2), _checks.dimension(n)
    return float(
        brentq(lambda c: math.log(count * max(cosine_tail(c, size), 1e-300)), 0.0, 1 - 1e-15, xtol=1e-13)
    )


def expected_largest_cosine(pairs: Real, n: Real) -> float:
    """Mean of the largest cosine of so many independent pairs, ∫ [1 − (1 − P(cos θ ≥ c))^pairs] dc − 1.

    The N² pairs of two codebooks are independent two by two only; at N = 1,000 the difference is below 0.002.

    Args:
        pairs: number of pairs ≥ 2.
        n: dimension ≥ 2.

    Returns:
        A cosine in (−1, 1).

    Raises:
        ValueError: for n < 2 or pairs < 2.
    """
    count, size = _checks.real("pairs", pairs, at_least=2), _checks.dimension(n)

    def some_pair_beyond(c: float) -> float:
        tail = cosine_tail(c, size)
        return 1.0 if tail >= 1 else -math.expm1(count * math.log1p(-tail))

    bend = typical_largest_cosine(max(count, 3.0), size)
    below, _ = quad(
        some_pair_beyond, -1, bend, limit=200, epsabs=1e-10, epsrel=1e-10, points=[0.0, bend - 1e-2]
    )
    above, _ = quad(some_pair_beyond, bend, 1, limit=200, epsabs=1e-10, epsrel=1e-10)
    return float(below + above - 1)
