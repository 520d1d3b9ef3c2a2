"""What a decoder says about an image: Bernoulli pixels, discretised logistic mixtures, dequantised densities.

Images are floats in [0, 1]: 0 or 1 for binary ones, k / (levels − 1) for those with a finite number of levels. A
likelihood turns the decoder's output, shape (batch, outputs, height, width), into log-probabilities in nats.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

EDGES = ("exact", "released")


@runtime_checkable
class Likelihood(Protocol):
    """What a model of images needs to know of p(x|z)."""

    levels: int

    def outputs(self, channels: int) -> int:
        """How many numbers a pixel of `channels` colours takes."""

    def log_prob(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        x: Float[Tensor, "batch channels high wide"],
    ) -> Float[Tensor, " batch"]:
        """Nats of each image."""

    def table(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide levels"]:
        """Probability of every level of every pixel: what an entropy coder needs."""

    def sample(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        *,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Float[Tensor, "batch channels high wide"]:
        """Images drawn from it."""

    def mean(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide"]:
        """The expected image."""


def bits_per_dimension(nats: float, dimensions: int) -> float:
    """nats / (D ln 2): a negative log-likelihood of an image, in bits for each of its D numbers.

    Args:
        nats: of the whole image.
        dimensions: D ≥ 1.

    Returns:
        Bits a dimension; 78.01 nats of a 28 × 28 image are 0.1436.

    Raises:
        ValueError: for D < 1.
    """
    if dimensions < 1:
        raise ValueError(f"dimensions must be ≥ 1, got {dimensions}")
    return nats / (dimensions * math.log(2))


def dequantise(
    x: Float[Tensor, "*shape"], levels: int, *, generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """y = (k + u) / levels with u ~ U[0, 1): discrete levels spread over the unit interval.

    A density p of y bounds the mass of k: E_u log p(y) − D log(levels) ≤ log P(k).

    Args:
        x: k / (levels − 1).
        levels: number of levels ≥ 2.
        generator: on x's device.

    Returns:
        Values in [0, 1).

    Source: Theis, van den Oord & Bethge 2016.
    """
    noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return ((x * (levels - 1)).round() + noise) / levels


class Bernoulli:
    """Independent binary values, p(x = 1) = σ(parameter); one output a value."""

    levels = 2

    def outputs(self, channels: int) -> int:
        """One logit a value."""
        return channels

    def log_prob(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        x: Float[Tensor, "batch channels high wide"],
    ) -> Float[Tensor, " batch"]:
        """Σ x·θ − log(1 + e^θ).

        Args:
            parameters: logits θ.
            x: zeros and ones. Anything between would not be a likelihood: draw from it first.

        Returns:
            Nats of each image.

        Raises:
            ValueError: when x holds a value that is neither 0 nor 1.
        """
        if not bool(((x == 0) | (x == 1)).all()):
            raise ValueError(
                "x must hold zeros and ones; binarise grey images first (their BCE is no likelihood)"
            )
        return (x * parameters - softplus(parameters)).flatten(1).sum(1)

    def table(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide levels"]:
        """(1 − p, p) of every value."""
        return torch.stack([torch.sigmoid(-parameters), torch.sigmoid(parameters)], dim=-1)

    def sample(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        *,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Float[Tensor, "batch channels high wide"]:
        """Zeros and ones with logits θ / temperature."""
        return torch.bernoulli(torch.sigmoid(parameters / temperature), generator=generator)

    def mean(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide"]:
        """σ(θ)."""
        return torch.sigmoid(parameters)


class LogisticMixture:
    """A mixture of discretised logistics over `levels` equidistant values in [−1, 1].

    With half a bin h = 1/(levels − 1), a component of mean m and scale s gives the level at x the mass
    σ((x + h − m)/s) − σ((x − h − m)/s), the two extreme levels all that lies beyond them. Three colours share the
    component; green's mean moves with red, blue's with red and green.

    Args:
        mixtures: components ≥ 1.
        levels: number of levels ≥ 2.
        edge: "exact" gives the upper tail to the highest level alone, so that the masses sum to one. "released" is the
            official NVAE code's test x > 0.99, which with 256 levels gives it to the two highest.
        noise: "tempered" multiplies the logistic noise of `sample` by the temperature; "released" divides, as that
            code does.

    Raises:
        ValueError: for a size out of range or an unknown variant.

    Source: Salimans et al. 2017 (PixelCNN++), section 2.1; arXiv 2007.03898, appendix A.
    """

    def __init__(
        self, mixtures: int = 10, levels: int = 256, *, edge: str = "exact", noise: str = "tempered"
    ) -> None:
        if mixtures < 1 or levels < 2:
            raise ValueError(f"mixtures must be ≥ 1 and levels ≥ 2, got {mixtures} and {levels}")
        if edge not in EDGES or noise not in ("tempered", "released"):
            raise ValueError(
                f"edge must be exact or released, noise tempered or released; got {edge!r}, {noise!r}"
            )
        self.mixtures, self.levels, self.edge, self.noise = mixtures, levels, edge, noise

    def outputs(self, channels: int) -> int:
        """Weights, means, log-scales and, between colours, slopes: ten numbers a component for three colours."""
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        return self.mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _split(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-weights (b, M, h, w), means, log-scales (b, M, c, h, w) and slopes (b, M, c(c−1)/2, h, w)."""
        batch, outputs, high, wide = parameters.shape
        colours = 1 if outputs == self.outputs(1) else 3
        if outputs != self.outputs(colours):
            raise ValueError(
                f"parameters must have {self.outputs(1)} or {self.outputs(3)} channels, got {outputs}"
            )
        rest = parameters.view(batch, self.mixtures, -1, high, wide)
        sizes = [1, colours, colours, colours * (colours - 1) // 2]
        weights, means, scales, slopes = torch.split(rest, sizes, dim=2)
        return weights[:, :, 0].log_softmax(1), means, scales.clamp(min=-7.0), torch.tanh(slopes)

    def _means(self, means: Tensor, slopes: Tensor, x: Tensor) -> Tensor:
        """Means moved by the colours before, given x in [−1, 1] of shape (b, 1, c, h, w)."""
        if means.shape[2] == 1:
            return means
        green = means[:, :, 1] + slopes[:, :, 0] * x[:, :, 0]
        blue = means[:, :, 2] + slopes[:, :, 1] * x[:, :, 0] + slopes[:, :, 2] * x[:, :, 1]
        return torch.stack([means[:, :, 0], green, blue], dim=2)

    def _log_mass(self, x: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
        """Log-mass of the level at x ∈ [−1, 1]; σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a−b)) never cancels."""
        half, inverse = 1 / (self.levels - 1), torch.exp(-log_scales)
        above, below = (x + half - means) * inverse, (x - half - means) * inverse
        inside = logsigmoid(above) + logsigmoid(-below) + torch.log(-torch.expm1(-2 * half * inverse))
        highest = 1 - half if self.edge == "exact" else 0.99
        lowest = -1 + half if self.edge == "exact" else -0.999
        return torch.where(
            x < lowest, logsigmoid(above), torch.where(x > highest, logsigmoid(-below), inside)
        )

    def log_prob(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        x: Float[Tensor, "batch channels high wide"],
    ) -> Float[Tensor, " batch"]:
        """log Σ_i π_i Π_c P_i(x_c), summed over pixels.

        Args:
            parameters: the decoder's output.
            x: levels in [0, 1].

        Returns:
            Nats of each image.
        """
        weights, means, log_scales, slopes = self._split(parameters)
        centred = (2 * x - 1)[:, None]
        mass = self._log_mass(centred, self._means(means, slopes, centred), log_scales).sum(2)
        return torch.logsumexp(weights + mass, dim=1).flatten(1).sum(1)

    def table(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide levels"]:
        """The mass of every level of grey.

        Raises:
            ValueError: for three colours, whose values are not independent.
        """
        weights, means, log_scales, _ = self._split(parameters)
        if means.shape[2] != 1:
            raise ValueError("parameters must be of one colour: three are not independent given z")
        grid = torch.linspace(-1, 1, self.levels, device=parameters.device, dtype=parameters.dtype)
        mass = self._log_mass(grid, means[:, :, 0, ..., None], log_scales[:, :, 0, ..., None])
        return torch.logsumexp(weights[..., None] + mass, dim=1)[:, None].exp()

    def sample(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        *,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Float[Tensor, "batch channels high wide"]:
        """A component by its weight, then a logistic with its noise scaled by the temperature, then the nearest level."""
        weights, means, log_scales, slopes = self._split(parameters)
        draw = torch.rand(weights.shape, generator=generator, device=weights.device)
        chosen = (weights - torch.log(-torch.log(draw.clamp(1e-7, 1 - 1e-7)))).argmax(1)[:, None, None]

        def pick(of: Tensor) -> Tensor:
            return of.gather(1, chosen.expand(-1, -1, of.shape[2], -1, -1))[:, 0] if of.shape[2] else of[:, 0]

        means, log_scales, slopes = pick(means), pick(log_scales), pick(slopes)
        uniform = torch.rand(means.shape, generator=generator, device=means.device).clamp(1e-5, 1 - 1e-5)
        width = temperature if self.noise == "tempered" else 1 / temperature
        noise = width * torch.exp(log_scales) * (uniform.log() - (-uniform).log1p())
        drawn = [(means[:, 0] + noise[:, 0]).clamp(-1, 1)]
        if means.shape[1] == 3:
            drawn.append((means[:, 1] + slopes[:, 0] * drawn[0] + noise[:, 1]).clamp(-1, 1))
            moved = means[:, 2] + slopes[:, 1] * drawn[0] + slopes[:, 2] * drawn[1]
            drawn.append((moved + noise[:, 2]).clamp(-1, 1))
        unit = (torch.stack(drawn, dim=1) + 1) / 2
        return (unit * (self.levels - 1)).round() / (self.levels - 1)

    def mean(
        self, parameters: Float[Tensor, "batch outputs high wide"]
    ) -> Float[Tensor, "batch channels high wide"]:
        """Σ_i π_i m_i, each colour's mean moved by the means before; clipped to [0, 1]."""
        weights, means, _, slopes = self._split(parameters)
        moved = self._means(means, slopes, means)
        return ((((weights.exp()[:, :, None]) * moved).sum(1) + 1) / 2).clamp(0, 1)
