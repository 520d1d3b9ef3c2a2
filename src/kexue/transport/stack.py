"""Many small networks trained as one: K independent multilayer perceptrons whose weights share a tensor.

A GAN of this size spends its time on the overhead of calls, not on arithmetic. K networks of one shape cost little
more calls than one, and rows never mix: each has its own weights, its own data and its own part of the loss.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from kexue.checks import returned

SLOPE = 0.2  # of the leaky ReLU


class StackedMLP(nn.Module):
    """K multilayer perceptrons with leaky ReLUs, row k of the input to network k.

    Args:
        models: K ≥ 1.
        sizes: widths from input to output, at least two, each ≥ 1.
        generator: source of the initial weights, U(±1/√fan-in) as in `torch.nn.Linear`; its device is the network's.
        output: applied to the last layer, `torch.sigmoid` for images in [0, 1].

    Raises:
        ValueError: for fewer than one model, fewer than two sizes or a size below 1.
    """

    def __init__(
        self,
        models: int,
        sizes: Sequence[int],
        *,
        generator: torch.Generator,
        output: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if models < 1:
            raise ValueError(f"models must be at least 1, got {models}")
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must hold at least two widths ≥ 1, got {tuple(sizes)}")
        self.models = models
        self.output = output
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for wide, narrow in itertools.pairwise(sizes):
            for held, shape in ((self.weights, (models, wide, narrow)), (self.biases, (models, 1, narrow))):
                uniform = torch.rand(shape, generator=generator, device=generator.device)
                held.append(nn.Parameter((2 * uniform - 1) / math.sqrt(wide)))

    def layers(self, rows: Int64[Tensor, " rows"] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Weights (k, in, out) and biases (k, 1, out) of each layer, of all networks or of those in `rows`."""
        pairs = zip(self.weights, self.biases, strict=True)
        return [(w, b) if rows is None else (w[rows], b[rows]) for w, b in pairs]

    def forward(
        self, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "k n out"]:
        """Outputs of the networks in `rows` (None: all); row k of `x` goes to the k-th of them."""
        *hidden, (weight, bias) = self.layers(rows)
        for inner, offset in hidden:
            x = leaky_relu(torch.baddbmm(offset, x, inner), SLOPE)
        x = torch.baddbmm(bias, x, weight)
        return x if self.output is None else returned("output", self.output(x), x.shape, x.shape)


class StackedCritic(StackedMLP):
    """K critics f: R^d → R; those marked `spectral` have every layer divided by its largest singular value.

    Args:
        models: K ≥ 1.
        sizes: widths from input to the last hidden layer; the output of width 1 is added.
        generator: source of the initial weights.
        spectral: which of the K critics are spectrally normalised; None: none.

    Raises:
        ValueError: when `spectral` does not name each model.

    Source: Miyato et al. 2018, arXiv 1802.05957 (power iteration, one step a training step).
    """

    def __init__(
        self,
        models: int,
        sizes: Sequence[int],
        *,
        generator: torch.Generator,
        spectral: Bool[Tensor, " models"] | None = None,
    ) -> None:
        super().__init__(models, (*sizes, 1), generator=generator)
        if spectral is not None and len(spectral) != models:
            raise ValueError(f"spectral must have an entry a model, got {len(spectral)} for {models}")
        chosen = torch.zeros(0) if spectral is None else spectral
        self.normalised = chosen.nonzero()[:, 0].to(generator.device)
        self._left = [
            torch.randn(len(self.normalised), w.shape[1], 1, generator=generator, device=generator.device)
            for w in self.weights
        ]
        self._right: list[Tensor] = []
        self.follow_spectrum(iterations=20)  # few iterations from a random start under-estimate the norm

    @torch.no_grad()
    def follow_spectrum(self, iterations: int = 1) -> None:
        """Power iteration towards the largest singular vectors of each layer."""
        if not len(self.normalised):
            return
        self._right = []
        for place, weight in enumerate(self.weights):
            matrix = weight[self.normalised]
            left = self._left[place]
            for _ in range(iterations):
                right = torch.nn.functional.normalize(matrix.mT @ left, dim=1)
                left = torch.nn.functional.normalize(matrix @ right, dim=1)
            self._left[place] = left
            self._right.append(right)

    def get_extra_state(self) -> dict[str, list[Tensor]]:
        """The singular vectors, which the next power iteration starts from, for a checkpoint."""
        return {"left": self._left, "right": self._right}

    def set_extra_state(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from a checkpoint."""
        self._left, self._right = list(state["left"]), list(state["right"])

    def layers(self, rows: Int64[Tensor, " rows"] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases, the weights of normalised critics divided by their spectral norm."""
        plain = super().layers(None)
        if len(self.normalised):
            normed = []
            for (weight, bias), left, right in zip(plain, self._left, self._right, strict=True):
                chosen = weight[self.normalised]
                scaled = chosen / (left.mT @ chosen @ right)
                normed.append((weight.index_copy(0, self.normalised, scaled), bias))
            plain = normed
        return plain if rows is None else [(w[rows], b[rows]) for w, b in plain]

    def forward(
        self, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "k n"]:
        """Values f_k(x)."""
        return super().forward(x, rows)[..., 0]

    def input_gradient(
        self, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "k n d"]:
        """∇f_k(x), differentiable in the weights.

        A leaky-ReLU network is linear piece by piece, so ∇f = W₁ D₁ W₂ D₂ w₃ with the slopes D of the pieces held
        fixed: exactly what differentiating twice gives, with half the work.
        """
        *hidden, (last, _) = self.layers(rows)
        slopes = []
        with torch.no_grad():
            for weight, bias in hidden:
                x = torch.baddbmm(bias, x, weight)
                slopes.append(torch.where(x > 0, 1.0, SLOPE).to(x.dtype))
                x = leaky_relu(x, SLOPE)
        gradient = (
            last.mT.expand(-1, slopes[-1].shape[1], -1) if slopes else last.mT.expand(-1, x.shape[1], -1)
        )
        for (weight, _), slope in zip(reversed(hidden), reversed(slopes), strict=True):
            gradient = torch.bmm(gradient * slope, weight.mT)
        return gradient


def critic_of(critics: StackedCritic, row: int) -> StackedCritic:
    """One critic taken out of the stack, with weights of its own.

    Args:
        critics: K critics.
        row: which, 0 … K − 1; not a spectrally normalised one.

    Raises:
        ValueError: when there is no such row, or it is spectrally normalised.
    """
    if not 0 <= row < critics.models or row in critics.normalised.tolist():
        raise ValueError(f"row must be one of {critics.models} critics without spectral norm, got {row}")
    alone = copy.deepcopy(critics)
    alone.models, alone.normalised = 1, critics.normalised[:0]
    for held in (alone.weights, alone.biases):
        for place, parameter in enumerate(held):
            held[place] = nn.Parameter(parameter.detach()[row : row + 1].clone())
    return alone


def values(
    critic: nn.Module, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
) -> Float[Tensor, "k n"]:
    """f(x) of any critic, one number a point.

    Args:
        critic: maps (k, n, d) to (k, n); one that knows no `rows` is only asked for all.
        x: points, shape (k, n, d).
        rows: the critics meant, None: all.

    Raises:
        ValueError: when the critic returns another shape, such as (k, n, 1) or a mean over the points.
    """
    found = critic(x) if rows is None else critic(x, rows)
    return returned("critic", found, x.shape[:2], x.shape)


def input_gradient(
    critic: nn.Module, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
) -> Float[Tensor, "k n d"]:
    """∇f(x) of any critic, differentiable in its parameters.

    Args:
        critic: maps (k, n, d) and `rows` to (k, n), each value of its own point only (so no batch norm).
        x: points, shape (k, n, d).
        rows: the critics meant, None: all.

    Returns:
        Gradients, shape (k, n, d).

    Raises:
        ValueError: when the critic, or its own `input_gradient`, returns another shape.
    """
    own: Callable[..., Tensor] | None = getattr(critic, "input_gradient", None)
    if own is not None:
        return returned("critic.input_gradient", own(x, rows), x.shape, x.shape)
    points = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(values(critic, points, rows).sum(), points, create_graph=True)
    return gradient
