"""Residual cells: the encoder's plain convolutions, the decoder's depthwise ones, squeeze and excitation.

A cell is skip(x) + 0.1 · branch(x). Scaling the branch keeps a very deep stack near the identity at the start.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.parametrizations import weight_norm

from kexue.density.nvae.normalisation import Activated

BRANCH = 0.1
KINDS = ("regular", "separable")


def convolution(
    inputs: int, outputs: int, kernel: int, *, norm: str = "batch", stride: int = 1, groups: int = 1
) -> nn.Module:
    """A convolution that keeps the size (or divides it by the stride), weight-normalised where the norm says so."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)
    if "weight" in norm and groups == 1:
        weight_norm(layer)
    return layer


class Squeeze(nn.Module):
    """Squeeze and excitation: x · σ(W₂ relu(W₁ mean(x))), with a bottleneck of max(C/16, 4).

    Args:
        channels: C.

    Source: Hu, Shen & Sun 2018; arXiv 2007.03898, figure 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 4)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(
        self, x: Float[Tensor, "batch channels high wide"]
    ) -> Float[Tensor, "batch channels high wide"]:
        """Each channel scaled by its gate."""
        gate: Tensor = self.gate(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


class Halve(nn.Module):
    """The skip of a down-sampling cell: four strided 1 × 1 convolutions of the image shifted by one pixel.

    Args:
        inputs: channels in.
        outputs: channels out, a multiple of 4.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        if outputs % 4:
            raise ValueError(f"outputs must be a multiple of 4, got {outputs}")
        self.parts = nn.ModuleList([nn.Conv2d(inputs, outputs // 4, 1, stride=2) for _ in range(4)])

    def forward(
        self, x: Float[Tensor, "batch inputs high wide"]
    ) -> Float[Tensor, "batch outputs half_high half_wide"]:
        """Half the size."""
        shifted = (x, x[:, :, 1:, 1:], x[:, :, :, 1:], x[:, :, 1:, :])
        return torch.cat([part(s) for part, s in zip(self.parts, shifted, strict=True)], dim=1)


class Double(nn.Module):
    """The skip of an up-sampling cell: bilinear, then a 1 × 1 convolution.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, x: Float[Tensor, "batch inputs high wide"]
    ) -> Float[Tensor, "batch outputs twice_high twice_wide"]:
        """Twice the size."""
        grown = interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        out: Tensor = self.mix(grown)
        return out


class _Nearest(nn.Module):
    """Every pixel four times: what an up-sampling branch starts with."""

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2, mode="nearest")


class Cell(nn.Module):
    """A residual cell.

    regular:   norm–act–3×3–norm–act–3×3–SE (the paper's encoder, figure 3b);
    separable: norm–1×1 (C → EC)–norm–act–depthwise 5×5–norm–act–1×1 (EC → C)–norm–SE (its decoder, figure 3a).

    Args:
        inputs: channels in.
        outputs: channels out.
        kind: "regular" or "separable".
        resize: "keep", "halve" or "double" the size of the image.
        expansion: E of a separable cell; the paper has 6 in the latent tower and 3 behind it.
        norm: see `Activated`.
        activation: "swish" or "elu".
        squeeze: whether squeeze and excitation closes the branch.
        recompute: see `Activated`.

    Raises:
        ValueError: for an unknown kind or resize.

    Source: arXiv 2007.03898, section 3.1 and figure 3.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kind: str = "regular",
        resize: str = "keep",
        expansion: int = 6,
        norm: str = "batch",
        activation: str = "swish",
        squeeze: bool = True,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS or resize not in ("keep", "halve", "double"):
            raise ValueError(
                f"kind must be regular or separable, resize keep, halve or double; got {kind!r}, {resize!r}"
            )
        style: dict[str, Any] = {"norm": norm, "recompute": recompute}
        stride = 2 if resize == "halve" else 1
        grow: list[nn.Module] = [_Nearest()] if resize == "double" else []
        if kind == "regular":
            branch = [
                Activated(inputs, activation=activation, **style),
                *grow,
                convolution(inputs, outputs, 3, norm=norm, stride=stride),
                Activated(outputs, activation=activation, **style),
                convolution(outputs, outputs, 3, norm=norm),
            ]
        else:
            wide = inputs * expansion
            branch = [
                *grow,
                Activated(inputs, activation="none", **style),
                convolution(inputs, wide, 1, norm=norm),
                Activated(wide, activation=activation, **style),
                convolution(wide, wide, 5, norm=norm, stride=stride, groups=wide),
                Activated(wide, activation=activation, **style),
                convolution(wide, outputs, 1, norm=norm),
                Activated(outputs, activation="none", **style),
            ]
        self.branch = nn.Sequential(*branch, *([Squeeze(outputs)] if squeeze else []))
        self.skip: nn.Module
        if resize == "halve":
            self.skip = Halve(inputs, outputs)
        elif resize == "double":
            self.skip = Double(inputs, outputs)
        else:
            self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, x: Float[Tensor, "batch inputs high wide"]
    ) -> Float[Tensor, "batch outputs new_high new_wide"]:
        """skip(x) + 0.1 · branch(x)."""
        out: Tensor = self.skip(x) + BRANCH * self.branch(x)
        return out
