"""The VAE whose p(x) is known: a linear decoder with Gaussian noise, which is probabilistic PCA.

z ~ N(0, I_d), x | z ~ N(Wz + m, σ²I_D), hence x ~ N(m, C) with C = WWᵀ + σ²I, and z | x is Gaussian with precision
Λ = I + WᵀW/σ². Everything is computed in float64 through d × d matrices (Woodbury), never D × D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from kexue.density import _checks
from kexue.density.proposals import HALF_LOG_TWO_PI, FullGaussianProposal, GaussianProposal, LogJoint


@dataclass(frozen=True)
class LinearGaussian:
    """The model.

    Args:
        weights: W, shape (D, d), float64.
        mean: m, shape (D,), float64.
        noise: σ > 0, the standard deviation of x given z.

    Raises:
        ValueError: for σ ≤ 0.

    Source: Tipping & Bishop 1999.
    """

    weights: Float64[Tensor, "data latent"]
    mean: Float64[Tensor, " data"]
    noise: float

    def __post_init__(self) -> None:
        _checks.positive("noise", self.noise)

    def sample(
        self, count: int, *, generator: torch.Generator
    ) -> tuple[Float64[Tensor, "count data"], Float64[Tensor, "count latent"]]:
        """Pairs (x, z) from the model: z is then an exact posterior sample for x."""
        size, latent = self.weights.shape
        like = {"generator": generator, "dtype": self.weights.dtype, "device": self.weights.device}
        z = torch.randn(count, latent, **like)  # type: ignore[call-overload]
        noise = torch.randn(count, size, **like)  # type: ignore[call-overload]
        return z @ self.weights.T + self.mean + self.noise * noise, z

    def posterior_precision(self) -> Float64[Tensor, "latent latent"]:
        """Λ = I + WᵀW/σ²."""
        identity = torch.eye(self.weights.shape[1]).to(self.weights)
        precision: Tensor = identity + self.weights.T @ self.weights / self.noise**2
        return precision

    def posterior_mean(self, x: Float64[Tensor, "batch data"]) -> Float64[Tensor, "batch latent"]:
        """Λ⁻¹Wᵀ(x − m)/σ²."""
        projected = (x - self.mean) @ self.weights / self.noise**2
        mean: Tensor = torch.linalg.solve(self.posterior_precision(), projected.T).T
        return mean

    def posterior(self, x: Float64[Tensor, "batch data"]) -> FullGaussianProposal:
        """p(z|x) as a proposal: with it every weight equals p(x)."""
        covariance = torch.linalg.inv(self.posterior_precision())
        return FullGaussianProposal(self.posterior_mean(x), torch.linalg.cholesky(covariance))

    def mean_field(
        self, x: Float64[Tensor, "batch data"], *, shift: float = 0.0, scale: float = 1.0
    ) -> GaussianProposal:
        """The best diagonal Gaussian under KL(q ‖ p(z|x)), then moved and stretched on purpose.

        Its variances are 1/Λ_ii; `shift` and `scale` are in units of its standard deviations.

        Args:
            x: data, shape (batch, D).
            shift: δ, added to every coordinate's mean.
            scale: τ > 0.
        """
        deviations = self.posterior_precision().diagonal().rsqrt()
        mean = self.posterior_mean(x) + shift * deviations
        log_scale = (deviations * _checks.positive("scale", scale)).log().expand_as(mean)
        return GaussianProposal(mean, log_scale)

    def log_marginal(self, x: Float64[Tensor, "batch data"]) -> Float64[Tensor, " batch"]:
        """log N(x; m, C), exactly, in nats.

        Args:
            x: data, shape (batch, D).

        Returns:
            Log-densities, shape (batch,).
        """
        centred = x - self.mean
        size = x.shape[1]
        explained = (self.posterior_mean(x) * (centred @ self.weights)).sum(1) / self.noise**2
        mahalanobis = (centred**2).sum(1) / self.noise**2 - explained
        log_det = torch.logdet(self.posterior_precision()) + 2 * size * math.log(self.noise)
        return -0.5 * (mahalanobis + log_det) - size * HALF_LOG_TWO_PI

    def log_likelihood(self, x: Float64[Tensor, "batch data"]) -> LogJoint:
        """z, shape (samples, batch, d) → log p(x|z), shape (samples, batch), in nats.

        ‖x − m − Wz‖² is expanded, so that no array of samples × batch × D is formed.
        """
        centred = x - self.mean
        projected = centred @ self.weights
        gram = self.weights.T @ self.weights
        squares = (centred**2).sum(1)
        constant = -x.shape[1] * (HALF_LOG_TWO_PI + math.log(self.noise))

        def log_likelihood(z: Tensor) -> Tensor:
            distance = squares - 2 * (z * projected).sum(-1) + ((z @ gram) * z).sum(-1)
            return constant - 0.5 * distance / self.noise**2

        return log_likelihood

    def log_joint(self, x: Float64[Tensor, "batch data"]) -> LogJoint:
        """z, shape (samples, batch, d) → log p(x, z), shape (samples, batch), in nats."""
        log_likelihood = self.log_likelihood(x)

        def log_joint(z: Tensor) -> Tensor:
            return log_likelihood(z) - (0.5 * z**2 + HALF_LOG_TWO_PI).sum(-1)

        return log_joint

    def rate(self) -> float:
        """The mean of KL(p(z|x) ‖ p(z)) over x from the model, ½ log det Λ: the information z carries about x, in nats."""
        return 0.5 * float(torch.logdet(self.posterior_precision()))

    def rotated(self, rotation: Float64[Tensor, "latent latent"]) -> LinearGaussian:
        """The same p(x) with latent axes turned: W → WR."""
        return LinearGaussian(self.weights @ rotation, self.mean, self.noise)


def random_model(data: int, latent: int, noise: float, *, generator: torch.Generator) -> LinearGaussian:
    """A model with orthogonal columns of length √D/2…√D, so that its posterior is diagonal.

    Args:
        data: D ≥ d.
        latent: d ≥ 1.
        noise: σ > 0.
        generator: source of randomness; its device is the model's.

    Raises:
        ValueError: for sizes out of range or σ ≤ 0.
    """
    _checks.count("latent", latent)
    _checks.count("data", data, at_least=latent)
    drawn = torch.randn(data, latent, generator=generator, dtype=torch.float64, device=generator.device)
    basis = torch.linalg.qr(drawn)[0]
    lengths = torch.linspace(1.0, 0.5, latent, dtype=torch.float64, device=generator.device) * math.sqrt(data)
    return LinearGaussian(basis * lengths, torch.zeros_like(basis[:, 0]), noise)


def fit_ppca(x: Float64[Tensor, "batch data"], latent: int) -> LinearGaussian:
    """The maximum-likelihood model: W = U_d (Λ_d − σ²I)^½, σ² = the mean of the discarded eigenvalues.

    Args:
        x: data, shape (n, D), n ≥ 2.
        latent: d, 1 ≤ d < D.

    Raises:
        ValueError: for d out of range, or when the discarded eigenvalues vanish.

    Source: Tipping & Bishop 1999, eqs. 7 and 8.
    """
    size = x.shape[1]
    if _checks.count("latent", latent) >= size:
        raise ValueError(f"latent must be less than the data's dimension {size}, got {latent}")
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    discarded = float(values[: size - latent].mean())
    if not discarded > 1e-12 * float(values[-1]):
        raise ValueError(f"x must not lie in {latent} dimensions: no variance is left for the noise")
    lengths = (values[size - latent :] - discarded).clamp(min=0).sqrt()
    return LinearGaussian(vectors[:, size - latent :] * lengths, mean, math.sqrt(discarded))
