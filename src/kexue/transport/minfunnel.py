"""Pairs of distributions whose W1, optimal plan and optimal gradient are known: MinFunnel pairs of Korotin et al."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from kexue.transport import _checks
from kexue.transport.cost import distances

HALF_SIDE = 2.5  # of the cube the samples fill
HEIGHT_SCALE = 0.1  # standard deviation of the funnels' heights
POWER = 8  # how strongly mass is pulled into the funnels


class Pair(NamedTuple):
    """Samples of the optimal plan: y uniform in the cube, x what it was moved to."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n d"]


class MinFunnel:
    """u(x) = min_n {‖x − a_n‖ + b_n} and the law it transports the uniform cube to.

    Each y is pulled towards the apex a_n of its funnel along the ray it lies on, by an amount that u falls exactly:
    u(y) − u(x) = ‖y − x‖. As u is 1-Lipschitz, the coupling (x, y) is optimal and W1 = E‖x − y‖.

    Attributes:
        apexes: a, shape (funnels, d).
        heights: b, shape (funnels,).

    Source: Korotin, Kolesov and Burnaev, arXiv 2206.07767, §4 (the names of the two laws as here).
    """

    def __init__(
        self, d: int, funnels: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ):
        """Apexes uniform in the cube [−2.5, 2.5]^d, heights 0.1 · N(0, 1).

        Args:
            d: dimension ≥ 1.
            funnels: their number ≥ 1.
            generator: source of randomness; its device becomes that of the pair.
            dtype: of everything drawn.

        Raises:
            ValueError: for d < 1 or no funnel.
        """
        _checks.whole("d", d, 1)
        _checks.whole("funnels", funnels, 1)
        device = generator.device
        uniform = torch.rand(funnels, d, generator=generator, device=device, dtype=dtype)
        self.apexes = (2 * uniform - 1) * HALF_SIDE
        self.heights = HEIGHT_SCALE * torch.randn(funnels, generator=generator, device=device, dtype=dtype)

    def potential(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """u at the points; W1 = E u(y) − E u(x).

        Args:
            x: shape (n, d), dtype and device of the pair.
        """
        return self._levels(x).min(1).values

    def gradient(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """∇u, the unit vector away from the apex of the funnel that is lowest at x.

        Args:
            x: shape (n, d), dtype and device of the pair.
        """
        return torch.nn.functional.normalize(x - self.apexes[self._active(x)], dim=1)

    def sample(self, count: int, *, generator: torch.Generator) -> Pair:
        """Draws of the optimal plan.

        With t = ‖y − a_n‖ and L the length of the ray's part inside funnel n and the cube, x lies at L (t/L)^8.

        Args:
            count: n ≥ 1.
            generator: source of randomness, on the device of the pair.

        Returns:
            x and y, shape (n, d) each; independent samples of the two laws need two calls.

        Raises:
            ValueError: for count < 1.
        """
        _checks.whole("count", count, 1)
        uniform = torch.rand(
            count,
            self.apexes.shape[1],
            generator=generator,
            device=self.apexes.device,
            dtype=self.apexes.dtype,
        )
        y = (2 * uniform - 1) * HALF_SIDE
        active = self._active(y)
        apex = self.apexes[active]
        reach = torch.linalg.vector_norm(y - apex, dim=1, keepdim=True).clamp_min(torch.finfo(y.dtype).tiny)
        direction = (y - apex) / reach
        length = torch.minimum(_to_wall(apex, direction), self._to_next_funnel(active, direction))
        # an apex that is drawn again has no ray, and no wall on it
        length = length.clamp_max(2 * HALF_SIDE * y.shape[1] ** 0.5)
        # rounding may put y itself a hair beyond the end of its ray
        share = (reach / torch.maximum(length, reach)) ** POWER
        return Pair(apex + direction * torch.maximum(length, reach) * share, y)

    def _levels(self, x: Tensor) -> Float[Tensor, "n funnels"]:
        _checks.alike(x, self.apexes)
        return distances(x, self.apexes) + self.heights

    def _active(self, x: Tensor) -> Int64[Tensor, " n"]:
        return self._levels(x).argmin(1)

    def _to_next_funnel(self, active: Tensor, direction: Tensor) -> Float[Tensor, "n 1"]:
        """Where ‖a_n + vt − a_k‖ + b_k = t + b_n first holds: t = (‖e‖² − δ²) / 2(δ − v·e), e = a_n − a_k, δ = b_n − b_k."""
        between = distances(self.apexes, self.apexes)[active]
        apart = self.heights[active, None] - self.heights
        along = (direction * self.apexes[active]).sum(1, keepdim=True) - direction @ self.apexes.T
        crossing = (between**2 - apart**2) / (2 * (apart - along))
        valid = (crossing > 0) & (crossing + apart >= 0)
        valid.scatter_(1, active[:, None], False)
        return torch.where(valid, crossing, torch.inf).min(1, keepdim=True).values


def _to_wall(start: Tensor, direction: Tensor) -> Float[Tensor, "n 1"]:
    steps = (HALF_SIDE * direction.sign() - start) / direction
    return torch.where(direction == 0, torch.inf, steps).min(1, keepdim=True).values


class Agreement(NamedTuple):
    """A critic's gradient against the true one: ⟨g, h⟩ / (‖g‖ ‖h‖) and E‖g − h‖², inner product and norms in L²."""

    cosine: float
    squared_error: float


def gradient_agreement(found: Float[Tensor, "n d"], truth: Float[Tensor, "n d"]) -> Agreement:
    """Compare two fields of gradients at the same points.

    Args:
        found: the critic's gradients, shape (n, d).
        truth: the true ones, shape (n, d), dtype and device of `found`.

    Returns:
        The cosine (zero where a field vanishes) and the mean squared distance.

    Raises:
        ValueError: for shapes, dtypes or devices that do not fit.

    Source: Korotin, Kolesov and Burnaev, arXiv 2206.07767, the metrics cos and L².
    """
    _checks.pair(found, truth)
    if len(found) != len(truth):
        raise ValueError(f"found and truth must have as many rows, got {len(found)} and {len(truth)}")
    g, h = found.detach().double(), truth.detach().double()
    scale = float(torch.linalg.norm(g) * torch.linalg.norm(h))
    cosine = float((g * h).sum()) / scale if scale > 0 else 0.0
    return Agreement(cosine, float(((g - h) ** 2).sum(1).mean()))
