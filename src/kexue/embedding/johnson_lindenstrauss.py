"""The Johnson–Lindenstrauss lemma: its bounds, what they bound, and the distortion really met."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erfc
from scipy.stats import chi2
from torch import Tensor

from kexue.embedding import _checks
from kexue.embedding._checks import Real


def _tolerance(epsilon: Real) -> float:
    value = _checks.real("epsilon", epsilon, above=0)
    if value >= 1:
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon!r}")
    return value


def norm_bound(n: Real, epsilon: Real) -> float:
    """Bound 2 exp(−ε² n/8) on P(|‖u‖² − 1| ≥ ε) for u ~ N(0, I/n).

    Args:
        n: dimension ≥ 2.
        epsilon: ε in (0, 1).

    Returns:
        The bound (it may exceed 1).

    Raises:
        ValueError: for n < 2 or ε outside (0, 1).

    Source: kexue.fm/archives/8679, unit-norm lemma.
    """
    return 2 * math.exp(-(_tolerance(epsilon) ** 2) * _checks.dimension(n) / 8)


def norm_tail(n: Real, epsilon: Real) -> float:
    """P(|‖u‖² − 1| ≥ ε) itself, from ‖u‖² ~ χ²_n / n.

    Args:
        n: dimension ≥ 2.
        epsilon: ε in (0, 1).

    Returns:
        A probability.

    Raises:
        ValueError: for n < 2 or ε outside (0, 1).
    """
    size, tolerance = _checks.dimension(n), _tolerance(epsilon)
    return float(chi2.sf(size * (1 + tolerance), size) + chi2.cdf(size * (1 - tolerance), size))


def orthogonality_bound(n: Real, epsilon: Real) -> float:
    """Bound 4 exp(−ε² n/8) on P(|⟨u, v⟩| ≥ ε) for independent u, v ~ N(0, I/n).

    Args:
        n: dimension ≥ 2.
        epsilon: ε in (0, 1).

    Returns:
        The bound (it may exceed 1).

    Raises:
        ValueError: for n < 2 or ε outside (0, 1).

    Source: kexue.fm/archives/8679, orthogonality lemma.
    """
    return 2 * norm_bound(n, epsilon)


def orthogonality_tail(n: Real, epsilon: Real) -> float:
    """P(|⟨u, v⟩| ≥ ε) itself: given ‖v‖² = x/n with x ~ χ²_n, the product is normal of variance x/n².

    Args:
        n: dimension ≥ 2.
        epsilon: ε in (0, 1).

    Returns:
        A probability, by quadrature, relative error below 1e-8.

    Raises:
        ValueError: for n < 2 or ε outside (0, 1).
    """
    size, tolerance = _checks.dimension(n), _tolerance(epsilon)
    spread = math.sqrt(2 * size)
    value, _ = quad(
        lambda x: float(erfc(tolerance * size / math.sqrt(2 * x)) * chi2.pdf(x, size)),
        max(1e-12, size - 12 * spread),
        size + 40 * spread,
        points=[size, size + 5 * spread],
        epsabs=0,
        epsrel=1e-9,
        limit=400,
    )
    return float(value)


def sufficient_dimension(count: Real, epsilon: Real, factor: Real = 24.0) -> float:
    """factor · log N / ε²: enough for every squared distance among N points to keep within 1 ± ε.

    The factor is 24 for success with probability ≥ (N−1)/N, 16 for existence.

    Args:
        count: number of points N ≥ 2.
        epsilon: ε in (0, 1).
        factor: 24 or 16 in the article.

    Returns:
        A real dimension.

    Raises:
        ValueError: for N < 2, ε outside (0, 1) or factor ≤ 0.

    Source: kexue.fm/archives/8679, JL lemma.
    """
    size = _checks.real("count", count, at_least=2)
    return _checks.real("factor", factor, above=0) * math.log(size) / _tolerance(epsilon) ** 2


def typical_distortion(count: Real, n: Real) -> tuple[float, float]:
    """Large-deviation prediction of the extreme ratios of squared distances among N projected points.

    Solves ε − log(1+ε) = 4 log N/n and −ε − log(1−ε) = 4 log N/n; at n = 8.33 log N this is [0.31, 2.32] for
    every N.

    Args:
        count: number of points N ≥ 2.
        n: dimension ≥ 2 of the projection.

    Returns:
        The smallest and the largest ratio, 1 − ε₋ and 1 + ε₊.

    Raises:
        ValueError: for N < 2 or n < 2.

    Source: Cramér's theorem for χ²_n; not in the article.
    """
    level = 4 * math.log(_checks.real("count", count, at_least=2)) / _checks.dimension(n)
    high = brentq(lambda e: e - math.log1p(e) - level, 0.0, 2 * level + 10, xtol=1e-12)
    low = brentq(lambda log_ratio: math.expm1(log_ratio) - log_ratio - level, -level - 1, 0.0, xtol=1e-12)
    return math.exp(low), 1 + float(high)


def gaussian_projection(
    points: Float[Tensor, "count d"], n: int, *, generator: torch.Generator
) -> Float[Tensor, "count n"]:
    """Points times a matrix of independent N(0, 1/n) entries.

    Args:
        points: shape (count, d).
        n: dimension ≥ 2 of the image.
        generator: source of randomness, on the device of the points.

    Returns:
        The image, shape (count, n), dtype and device of the points.

    Raises:
        ValueError: for n < 2.

    Source: kexue.fm/archives/8679, the matrix of the lemma.
    """
    _checks.dimension(n)
    matrix = torch.randn(points.shape[1], n, generator=generator, device=points.device, dtype=points.dtype)
    return points @ matrix / math.sqrt(n)


def distance_ratios(
    points: Float[Tensor, "count d"], image: Float[Tensor, "count n"]
) -> Float[Tensor, " pairs"]:
    """Squared distances in the image over squared distances in the original, one per unordered pair.

    Args:
        points: the original, shape (count, d), no two alike.
        image: its projection, shape (count, n).

    Returns:
        count·(count − 1)/2 ratios.

    Raises:
        ValueError: when two points are alike, or the counts differ.
    """
    if len(points) != len(image):
        raise ValueError(f"points and image must have as many rows, got {len(points)} and {len(image)}")
    before = torch.pdist(points) ** 2
    if not (before > 0).all():
        raise ValueError("points must be distinct: a ratio of distances needs a positive denominator")
    return torch.pdist(image) ** 2 / before
