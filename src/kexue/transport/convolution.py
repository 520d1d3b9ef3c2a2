"""Convolutional networks: a critic that sees patches only, and the DCGAN pair of the full scale."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import fold, relu

from kexue.transport.pictures import patches
from kexue.transport.stack import SLOPE, StackedCritic


class PatchCritic(nn.Module):
    """A convolutional critic with global average pooling: f(x) = mean over patches p of x of g(p).

    Its first layer has the patch as its kernel and the others are 1 × 1, so it sees nothing larger than a patch, and
    the distance it can find is one between the distributions of patches.

    Args:
        models: K ≥ 1.
        shape: height and width of the images.
        widths: channels of the hidden layers.
        side: of a patch, in pixels.
        generator: source of the initial weights.

    Source: the critic family of Elnekave & Weiss 2025.
    """

    def __init__(
        self,
        models: int,
        shape: tuple[int, int],
        widths: tuple[int, ...],
        *,
        generator: torch.Generator,
        side: int = 3,
    ) -> None:
        super().__init__()
        self.shape, self.side = shape, side
        self.of_patches = StackedCritic(models, (side * side, *widths), generator=generator)

    def forward(
        self, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "k n"]:
        """Values f_k(x)."""
        cut = patches(x.reshape(*x.shape[:2], *self.shape), self.side)
        values: Tensor = self.of_patches(cut.flatten(1, 2), rows)
        averaged: Tensor = values.reshape(cut.shape[:3]).mean(2)
        return averaged

    def input_gradient(
        self, x: Float[Tensor, "k n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "k n d"]:
        """∇f_k(x), differentiable in the weights: the gradients of the patches, each added where it was cut."""
        cut = patches(x.reshape(*x.shape[:2], *self.shape), self.side)
        of_patch = self.of_patches.input_gradient(cut.flatten(1, 2), rows)
        columns = of_patch.reshape(-1, cut.shape[2], cut.shape[3]).mT
        whole: Tensor = fold(columns, self.shape, self.side) / cut.shape[2]
        return whole.reshape(x.shape)


class DCGANCritic(nn.Module):
    """Three convolutions of stride 2 and a linear layer; no normalisation, which a per-sample penalty forbids.

    Args:
        shape: channels, height, width; height and width multiples of 8.
        width: channels of the first layer, doubled twice.
        generator: source of the initial weights, N(0, 0.02²); its device is the network's.

    Raises:
        ValueError: for another shape.

    Source: Radford et al. 2016; Gulrajani et al. 2017, appendix, without its normalisation.
    """

    def __init__(self, shape: tuple[int, int, int], width: int = 64, *, generator: torch.Generator) -> None:
        super().__init__()
        channels, height, across = _multiple_of_8(shape)
        self.shape = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(4 * width * (height // 8) * (across // 8), 1),
        )
        _initialise(self, generator)

    def forward(
        self, x: Float[Tensor, "1 n d"], rows: Int64[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "1 n"]:
        """Values of the one critic; `rows` can mean only it."""
        values: Tensor = self.layers(x[0].reshape(-1, *self.shape))
        return values.T


class DCGANGenerator(nn.Module):
    """A linear layer and three transposed convolutions of stride 2, pixels in [0, 1].

    Args:
        latent: dimension of the latent.
        shape: channels, height, width; height and width multiples of 8.
        width: channels of the last hidden layer, doubled twice towards the latent.
        generator: source of the initial weights, N(0, 0.02²); its device is the network's.

    Raises:
        ValueError: for another shape.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], width: int = 64, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        channels, height, across = _multiple_of_8(shape)
        self.start = (4 * width, height // 8, across // 8)
        self.linear = nn.Linear(latent, 4 * width * (height // 8) * (across // 8))
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (4 * width, 2 * width, width))
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 4, 2, 1)
            for wide, narrow in ((4 * width, 2 * width), (2 * width, width), (width, channels))
        )
        _initialise(self, generator)

    def forward(self, z: Float[Tensor, "1 n latent"]) -> Float[Tensor, "1 n d"]:
        """Images, flattened."""
        x: Tensor = self.linear(z[0]).reshape(-1, *self.start)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(relu(norm(x)))
        return x.sigmoid().flatten(1)[None]


def _multiple_of_8(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if any(side % 8 or side < 8 for side in shape[1:]):
        raise ValueError(f"shape must have height and width that are multiples of 8, got {shape}")
    return shape


@torch.no_grad()
def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    network.to(generator.device)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.weight.normal_(0, 0.02, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
