"""NVAE: groups of latents from small to large, each with a prior and a posterior that sees the image.

p(z) = Π_l p(z_l | z_<l), q(z|x) = Π_l q(z_l | z_<l, x). The image goes up through the encoder's tower; the decoder's tower
goes down, and on its way every group combines its state with the features the encoder left at that height.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kexue.checks import returned
from kexue.density.likelihoods import Likelihood
from kexue.density.nvae import normal
from kexue.density.nvae.cells import Cell
from kexue.density.nvae.flows import Flow
from kexue.density.nvae.normal import Normal

HEAD = (
    0.1  # initial scale of the heads: with heads of the default size exp(log σ) feeds on itself and overflows
)


class Pass(NamedTuple):
    """What one way down the tower gives.

    Args:
        parameters: of the likelihood, cropped to the image.
        kl: nats of each image and group, shape (batch, groups).
        latents: the sample of each group.
        log_ratio: Σ log p(z_l|z_<l) − log q(z_l|z_<l, x) at this sample, shape (batch,).
        details: KL of each coordinate, a tensor a group; empty with flows, whose KL is no sum over coordinates.
    """

    parameters: Float[Tensor, "batch outputs high wide"]
    kl: Float[Tensor, "batch groups"]
    latents: list[Tensor]
    log_ratio: Float[Tensor, " batch"]
    details: list[Tensor]


class State(NamedTuple):
    """Where the decoder's tower stands, and where the posterior's own tower stands (the same if it is shared)."""

    generative: Tensor
    inference: Tensor


class _Tower(nn.Module):
    """The way down: a learned start, cells before each group, the sample mixed in behind it."""

    def __init__(
        self,
        plan: Sequence[tuple[int, bool]],
        size: tuple[int, int],
        latent: int,
        cells: int,
        cell: Callable[..., Cell],
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.rand(plan[0][0], *size))
        self.grow, self.cells, self.mix = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = plan[0][0]
        for number, (channels, larger) in enumerate(plan):
            self.grow.append(cell(width, channels, resize="double") if larger else nn.Identity())
            width = channels
            count = cells if number else 0
            self.cells.append(nn.Sequential(*[cell(width, width) for _ in range(count)]))
            self.mix.append(nn.Conv2d(width + latent, width, 1))

    def before(self, group: int, state: Tensor) -> Tensor:
        out: Tensor = self.cells[group](self.grow[group](state))
        return out

    def after(self, group: int, state: Tensor, z: Tensor) -> Tensor:
        out: Tensor = self.mix[group](torch.cat([state, z], dim=1))
        return out


def _head(layer: nn.Conv2d) -> nn.Conv2d:
    with torch.no_grad():
        layer.weight.mul_(HEAD)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


class NVAE(nn.Module):
    """A deep hierarchical VAE of images in [0, 1].

    Args:
        image: channels, height and width; with the padding, a multiple of 2^(reductions + scales − 1).
        likelihood: p(x|z).
        groups: groups of latents at each scale, smallest size first.
        channels: width of the towers at the full size; doubled at each halving.
        latent: channels of z in a group.
        reductions: halvings between the image and the largest latents.
        cells: residual cells a group, in each tower.
        outer: cells a halving, between image and latents.
        padding: rim of zeros added to the image and cut from the likelihood's parameters (MNIST: 2).
        parameterisation: of the posterior, see `normal.posterior`.
        encoder: kind of the encoder's cells, "regular" in the paper.
        decoder: kind of the decoder's cells, "separable" in the paper.
        expansion: of separable cells in the latent tower (half of it, rounded up, behind).
        flows: pairs of flow cells a group; 0 for none.
        flow: kind of the flow, see `FlowCell`.
        shared: whether the posterior goes down through the decoder's tower (the paper) or through one of its own.
        style: norm, activation, squeeze, recompute of all cells; see `Cell`.

    Raises:
        ValueError: for sizes that do not fit.

    Source: arXiv 2007.03898, figure 2 and section 3; kexue.fm/archives/7574.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        likelihood: Likelihood,
        *,
        groups: Sequence[int],
        channels: int,
        latent: int,
        reductions: int = 1,
        cells: int = 1,
        outer: int = 1,
        padding: int = 0,
        parameterisation: str = "residual",
        encoder: str = "regular",
        decoder: str = "separable",
        expansion: int = 6,
        flows: int = 0,
        flow: str = "affine",
        shared: bool = True,
        **style: Any,
    ) -> None:
        super().__init__()
        size = (image[1] + 2 * padding, image[2] + 2 * padding)
        least = 2 ** (reductions + len(groups) - 1)
        if not groups or min(groups) < 1 or any(side % least or side < least for side in size):
            raise ValueError(
                f"image with padding must be a multiple of {least} and groups ≥ 1; got {size} and groups {list(groups)}"
            )
        if parameterisation not in normal.PARAMETERISATIONS:
            raise ValueError(
                f"parameterisation must be one of {', '.join(normal.PARAMETERISATIONS)}; got {parameterisation!r}"
            )
        self.image, self.likelihood, self.padding = image, likelihood, padding
        self.groups, self.latent, self.parameterisation = list(groups), latent, parameterisation
        bottom_up: Callable[..., Cell] = partial(Cell, kind=encoder, expansion=expansion, **style)
        top_down: Callable[..., Cell] = partial(Cell, kind=decoder, expansion=expansion, **style)
        behind: Callable[..., Cell] = partial(Cell, kind=decoder, expansion=(expansion + 1) // 2, **style)

        width = channels
        self.stem = nn.Conv2d(image[0], width, 3, padding=1)
        before: list[nn.Module] = []
        for _ in range(reductions):
            before += [bottom_up(width, width) for _ in range(outer - 1)]
            before.append(bottom_up(width, 2 * width, resize="halve"))
            width *= 2
        self.before = nn.Sequential(*before)
        self.up = nn.ModuleList()  # one entry a group, largest size first; each leaves its features
        wanted: list[tuple[int, bool]] = []
        for scale, count in enumerate(reversed(self.groups)):
            for number in range(count):
                shrink = scale > 0 and number == 0
                inner: list[nn.Module] = [bottom_up(width, 2 * width, resize="halve")] if shrink else []
                width = 2 * width if shrink else width
                self.up.append(nn.Sequential(*inner, *[bottom_up(width, width) for _ in range(cells)]))
                wanted.append((width, scale < len(self.groups) - 1 and number == count - 1))
        plan = wanted[::-1]
        top = 2 ** (reductions + len(groups) - 1)
        tower = partial(_Tower, plan, (size[0] // top, size[1] // top), latent, cells, top_down)
        self.tower = tower()
        self.own_tower = None if shared else tower()
        self.top = nn.Sequential(nn.ELU(), nn.Conv2d(plan[0][0], plan[0][0], 1), nn.ELU())
        self.meet = nn.ModuleList([nn.Conv2d(width, width, 1) for width, _ in plan[1:]])
        self.priors = nn.ModuleList(
            [nn.Sequential(nn.ELU(), _head(nn.Conv2d(width, 2 * latent, 1))) for width, _ in plan[1:]]
        )
        self.posteriors = nn.ModuleList(
            [_head(nn.Conv2d(width, 2 * latent, 3, padding=1)) for width, _ in plan]
        )
        self.flows = nn.ModuleList(
            [Flow(latent, width, pairs=flows, kind=flow) for width, _ in plan] if flows else []
        )
        width = plan[-1][0]
        after: list[nn.Module] = []
        for _ in range(reductions):
            after.append(behind(width, width // 2, resize="double"))
            width //= 2
            after += [behind(width, width) for _ in range(outer - 1)]
        self.after = nn.Sequential(*after)
        self.paint = nn.Sequential(nn.ELU(), nn.Conv2d(width, likelihood.outputs(image[0]), 3, padding=1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # depthwise convolutions run three times as fast on a CPU

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self.posteriors)

    @property
    def dimensions(self) -> int:
        """Numbers an image holds: what bits per dimension divide by."""
        return math.prod(self.image)

    def encode(self, x: Float[Tensor, "batch channels high wide"]) -> list[Tensor]:
        """The features each group's posterior sees, in the order of the groups (smallest size first).

        Raises:
            ValueError: for an image of another shape.
        """
        if tuple(x.shape[1:]) != tuple(self.image):
            raise ValueError(f"x must have shape (batch, {self.image}), got {tuple(x.shape)}")
        rim = self.padding
        padded = nn.functional.pad(2 * x - 1, (rim,) * 4, value=-1.0)
        state = self.before(self.stem(padded.contiguous(memory_format=torch.channels_last)))
        features = []
        for cells in self.up:
            state = cells(state)
            features.append(state)
        features = features[::-1]
        features[0] = self.top(features[0])
        return features

    def start(self, batch: int) -> State:
        """The state above the first group."""
        top = self.tower.start.expand(batch, -1, -1, -1)
        return State(top, top if self.own_tower is None else self.own_tower.start.expand(batch, -1, -1, -1))

    def descend(self, group: int, state: State) -> State:
        """The state just above a group: its cells, and before the first of a size the up-sampling."""
        generative = self.tower.before(group, state.generative)
        own = self.own_tower
        return State(generative, generative if own is None else own.before(group, state.inference))

    def prior_heads(self, group: int, state: State) -> tuple[Tensor, Tensor]:
        """μ and log σ of the prior, in float32 at least; zeros for the first group: N(0, 1)."""
        if group == 0:
            batch, _, high, wide = state.generative.shape
            zero = state.generative.new_zeros(batch, self.latent, high, wide).float()
            return zero, zero
        mean, log_scale = _exact(self.priors[group - 1](state.generative)).chunk(2, dim=1)
        return mean, log_scale

    def prior(self, group: int, state: State) -> Normal:
        """p(z_l | z_<l) at the state above the group."""
        return normal.prior(*self.prior_heads(group, state), self.parameterisation)

    def posterior(self, group: int, state: State, feature: Tensor) -> tuple[Normal, Tensor]:
        """q(z_l | z_<l, x) before any flow, and its KL from the prior at each coordinate."""
        met = feature if group == 0 else feature + self.meet[group - 1](state.inference)
        mean, log_scale = _exact(self.posteriors[group](met)).chunk(2, dim=1)
        return normal.posterior((mean, log_scale), self.prior_heads(group, state), self.parameterisation)

    def absorb(self, group: int, state: State, z: Tensor) -> State:
        """The state below a group, its sample mixed in."""
        generative = self.tower.after(group, state.generative, z)
        own = self.own_tower
        return State(generative, generative if own is None else own.after(group, state.inference, z))

    def decode(self, state: State) -> Tensor:
        """The likelihood's parameters from the state below the last group, cropped to the image."""
        out = _exact(self.paint(self.after(state.generative)))
        rim = self.padding
        return out[:, :, rim : out.shape[2] - rim, rim : out.shape[3] - rim]

    def log_likelihood(
        self,
        parameters: Float[Tensor, "batch outputs high wide"],
        x: Float[Tensor, "batch channels high wide"],
    ) -> Float[Tensor, " batch"]:
        """log p(x|z) of each image, in nats, from the likelihood's parameters.

        Raises:
            ValueError: when the likelihood returns another shape, such as a mean over the batch.
        """
        return returned("likelihood.log_prob", self.likelihood.log_prob(parameters, x), (len(x),), x.shape)

    def forward(
        self, x: Float[Tensor, "batch channels high wide"], *, generator: torch.Generator | None = None
    ) -> Pass:
        """Up with the image, down with samples of the posterior.

        Args:
            x: images in [0, 1].
            generator: of the samples; torch's own by default.

        Returns:
            Everything the loss, an importance weight or a picture needs.
        """
        features, state = self.encode(x), self.start(len(x))
        kls, latents, details = [], [], []
        log_ratio = torch.zeros(len(x), device=x.device)
        for group in range(self.count):
            state = self.descend(group, state)
            q, kl = self.posterior(group, state, features[group])
            p = self.prior(group, state)
            z = normal.draw(q, generator=generator)
            log_q = normal.log_density(z, q).flatten(1).sum(1)
            if self.flows:
                z, volume = self.flows[group](z, features[group])
                log_q = log_q - volume
            log_p = normal.log_density(z, p).flatten(1).sum(1)
            log_ratio = log_ratio + log_p - log_q
            if self.flows:
                kls.append(log_q - log_p)
            else:
                kls.append(kl.flatten(1).sum(1))
                details.append(kl)
            latents.append(z)
            state = self.absorb(group, state, z)
        return Pass(self.decode(state), torch.stack(kls, dim=1), latents, log_ratio, details)


def _exact(x: Tensor) -> Tensor:
    """At least float32: thousands of log-probabilities in half precision lose nats."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
