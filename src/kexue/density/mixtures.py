"""p(x) = ∫ p(z) p(x|z) dz with one latent number, fitted by exact maximum likelihood: the integral is a quadrature."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from kexue.density import _checks, quadrature
from kexue.progress import progress


class CurveMixture(nn.Module):
    """z ~ N(0, 1), x | z ~ N(f(z), σ²I), f one hidden layer of tanh units: a Gaussian smeared along a curve.

    Args:
        data: D.
        width: hidden units ≥ 1.
        noise: σ > 0 at the start; learned unless `fixed`.
        fixed: whether σ stays.
        generator: source of the first weights.

    Raises:
        ValueError: for width < 1 or σ ≤ 0.

    Source: kexue.fm/archives/8791, the continuous mixture.
    """

    def __init__(
        self, data: int, width: int, noise: float, *, fixed: bool = False, generator: torch.Generator
    ) -> None:
        super().__init__()
        _checks.count("width", width)
        like = {"generator": generator, "dtype": torch.float64}
        self.slopes = nn.Parameter(2 * torch.randn(width, **like))  # type: ignore[call-overload]
        self.bends = nn.Parameter(2 * torch.randn(width, **like))  # type: ignore[call-overload]
        self.heights = nn.Parameter(torch.randn(width, data, **like) / math.sqrt(width))  # type: ignore[call-overload]
        self.offset = nn.Parameter(torch.zeros(data, dtype=torch.float64))
        log_noise = torch.tensor(math.log(_checks.positive("noise", noise)), dtype=torch.float64)
        self.log_noise = nn.Parameter(log_noise, requires_grad=not fixed)

    def curve(self, z: Float64[Tensor, "... 1"]) -> Float64[Tensor, "... data"]:
        """f(z)."""
        path: Tensor = torch.tanh(z * self.slopes + self.bends) @ self.heights + self.offset
        return path

    def log_density(self, x: Float64[Tensor, "batch data"], *, nodes: int = 256) -> Float64[Tensor, " batch"]:
        """log p(x) by the trapezoid on z in [−6, 6], in nats; differentiable.

        ‖x − f(z)‖² is expanded into a product of matrices.

        Args:
            x: points.
            nodes: of the trapezoid.
        """
        points = quadrature.grid(-6, 6, nodes)
        path = self.curve(points.z[:, 0])
        squares = (x**2).sum(1) - 2 * path @ x.T + (path**2).sum(1, keepdim=True)
        log_prior = -0.5 * points.z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi) + math.log(points.step)
        log_noise = self.log_noise
        inside = log_prior - 0.5 * squares.clamp(min=0) * torch.exp(-2 * log_noise)
        constant = x.shape[1] * (log_noise + 0.5 * math.log(2 * math.pi))
        return torch.logsumexp(inside, 0) - constant


def fit_mixture(
    model: CurveMixture, x: Float64[Tensor, "batch data"], *, steps: int, learning_rate: float = 0.03
) -> CurveMixture:
    """Adam on the exact log-likelihood, the rate falling to zero along a cosine; the model is changed in place.

    Args:
        model: the mixture.
        x: training points.
        steps: ≥ 1.
        learning_rate: of the first step.

    Raises:
        ValueError: for steps < 1.
    """
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _checks.count("steps", steps))
    for _ in progress(range(steps), "mixture"):
        optimiser.zero_grad()
        (-model.log_density(x, nodes=128).mean()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        cosine.step()
    return model
