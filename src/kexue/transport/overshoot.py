"""What WGAN-GP's critic reports for a translation, and which critics earn more than one of constant slope.

Real points are x ~ N(w e₁, I), generated ones y ~ N(0, I). The gain of a critic is w E ∂₁f over ρ, the law of y + U w e₁,
U uniform: where the mass passes. The penalty λ E(‖∇f‖ − 1)² is taken over σ, the law of εx + (1 − ε)y with x and y
*independent*: where the penalty looks, which is narrower. A critic that is steep where ρ/σ is large gains more than it pays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import minimize
from torch import Tensor

from kexue.transport import _checks

STEPS = 400  # of the positions along a translation
GRID = 4_001  # points of the quadrature on the line
MARGIN = 9.0  # standard deviations beyond which nothing is left


def congestion(distance: float) -> float:
    """∫ρ²/σ on the line, ≥ 1: the best critic there has slope 1 + wρ/(2λσ) and reports w + (w²/2λ) ∫ρ²/σ.

    The objective w∫ρg − λ∫σ(g − 1)² is maximised over the slope g point by point; on the line any g is the slope of a critic.

    Args:
        distance: w > 0.

    Returns:
        The factor by which the excess exceeds that of a critic of constant slope.

    Raises:
        ValueError: for w ≤ 0.

    Source: derived here; that WGAN-GP charges for congestion, by where its interpolates lie, is Milne & Nachman's theorem
    (2021, "Wasserstein GANs with Gradient Penalty Compute Congested Transport").
    """
    w = _checks.real("distance", distance, above=0)
    along = (np.arange(STEPS) + 0.5) / STEPS
    z = np.linspace(-MARGIN, w + MARGIN, GRID)

    def density(variance: np.ndarray) -> np.ndarray:
        away = (z[:, None] - w * along) ** 2 / variance
        found: np.ndarray = (np.exp(-away / 2) / np.sqrt(2 * np.pi * variance)).mean(1)
        return found

    passed, looked = density(np.ones(STEPS)), density(along**2 + (1 - along) ** 2)
    return float(np.trapezoid(passed**2 / looked, z))


def interpolates(
    count: int, distance: float, dimension: int, *, generator: torch.Generator
) -> Float64[Tensor, "count d"]:
    """Where the penalty looks: εx + (1 − ε)y of independent x ~ N(w e₁, I) and y ~ N(0, I), ε uniform on (0, 1).

    Args:
        count: number of points ≥ 1.
        distance: w.
        dimension: d ≥ 1.
        generator: source of randomness, on the device where the points are wanted.

    Returns:
        Points, shape (count, dimension), float64.

    Raises:
        ValueError: for counts below one or w that is not finite.
    """
    shape = _checks.whole("count", count, 1), _checks.whole("dimension", dimension, 1)
    w = _checks.real("distance", distance)
    device, kind = generator.device, torch.float64
    x, y = (torch.randn(shape, generator=generator, device=device, dtype=kind) for _ in range(2))
    x[:, 0] += w
    share = torch.rand(count, 1, generator=generator, device=device, dtype=kind)
    return share * x + (1 - share) * y


class Cubic(NamedTuple):
    """The critic f(z) = z₁ (a + c |z⊥|²/(d − 1)), z⊥ the other coordinates; c = 0: of constant slope a."""

    slope: float
    bend: float

    def reports(self, distance: float) -> float:
        """E f(x) − E f(y) = w (a + c) for x ~ N(w e₁, I), y ~ N(0, I)."""
        return distance * (self.slope + self.bend)

    def earns(self, distance: float, weight: float, points: Float64[Tensor, "n d"]) -> float:
        """WGAN-GP's objective, w (a + c) − λ mean (‖∇f‖ − 1)² over the points.

        Args:
            distance: w.
            weight: λ.
            points: where the penalty looks, shape (n, d), d ≥ 2.
        """
        first, rest = _axes(points)
        steep = np.hypot(self.slope + self.bend * rest**2, 2 * self.bend * first * rest / _spread(points))
        return self.reports(distance) - weight * float(((steep - 1) ** 2).mean())


def best_cubic(distance: float, weight: float, points: Float64[Tensor, "n d"]) -> Cubic:
    """The cubic critic that earns most on these points (Broyden, Fletcher, Goldfarb and Shanno from the linear one).

    Args:
        distance: w > 0.
        weight: λ > 0.
        points: where the penalty looks, shape (n, d), d ≥ 2.

    Raises:
        ValueError: for w or λ ≤ 0, or points of fewer than two coordinates.
    """
    w, penalty = _checks.real("distance", distance, above=0), _checks.real("weight", weight, above=0)
    _checks.points("points", points)
    if points.shape[1] < 2:
        raise ValueError(f"points must have at least 2 coordinates, got {points.shape[1]}")
    first, rest = _axes(points)
    across = 2 * first * rest / _spread(points)

    def lost(ac: np.ndarray) -> tuple[float, np.ndarray]:
        along, aside = ac[0] + ac[1] * rest**2, ac[1] * across
        steep = np.hypot(along, aside)
        pull = 2 * (1 - 1 / np.maximum(steep, 1e-12))  # of (‖∇f‖ − 1)², by ∇f
        slopes = np.array([(pull * along).mean(), (pull * (along * rest**2 + aside * across)).mean()])
        return penalty * float(((steep - 1) ** 2).mean()) - w * float(ac.sum()), penalty * slopes - w

    found = minimize(lost, [1 + w / (2 * penalty), 0.0], jac=True, method="BFGS").x
    return Cubic(float(found[0]), float(found[1]))


def _axes(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """z₁, and |z⊥| as a share of its root mean square √(d − 1)."""
    first, rest = points[:, 0].cpu().numpy(), points[:, 1:].norm(dim=1).cpu().numpy()
    return first, rest / _spread(points)


def _spread(points: Tensor) -> float:
    return float((points.shape[1] - 1) ** 0.5)
