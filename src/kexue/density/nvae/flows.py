"""Flows inside a group: an inverse autoregressive step on the posterior's sample.

z_i' = m_i(z_<i, c) + s_i(z_<i, c) · z_i, over the channels of a pixel and the pixels in raster order, log det = Σ log s_i.
The official code only shifts (s = 1) and does not look at the encoder's features c: that is the option "shift".
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import elu

FLOWS = ("affine", "shift")


def causal_mask(outputs: Tensor, inputs: Tensor, kernel: int, *, strict: bool) -> Tensor:
    """Which weights of a convolution may be non-zero.

    Args:
        outputs: the degree of each output channel.
        inputs: the degree of each input channel.
        kernel: odd size.
        strict: at the pixel itself, only inputs of a smaller degree (else of a degree not larger).

    Returns:
        Zeros and ones, shape (outputs, inputs, kernel, kernel): all of the pixels before, some channels of this one.
    """
    middle = kernel // 2
    mask = torch.zeros(len(outputs), len(inputs), kernel, kernel)
    mask[:, :, :middle] = 1
    mask[:, :, middle, :middle] = 1
    mask[:, :, middle, middle] = (
        inputs[None] < outputs[:, None] if strict else inputs[None] <= outputs[:, None]
    ).float()
    return mask


class MaskedConv(nn.Conv2d):
    """A convolution with a fixed mask on its weights.

    Args:
        mask: shape (outputs, inputs, kernel, kernel).
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        outputs, inputs, kernel, _ = mask.shape
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.register_buffer("mask", mask)

    def forward(self, x: Float[Tensor, "batch inputs high wide"]) -> Float[Tensor, "batch outputs high wide"]:
        """The convolution with the masked weights."""
        out: Tensor = self._conv_forward(x, self.weight * self.mask, self.bias)
        return out


class FlowCell(nn.Module):
    """One autoregressive step.

    Args:
        latent: channels of z.
        context: channels of the encoder's features.
        hidden: hidden channels per latent channel.
        kind: "affine" (m and s, both conditional on the features: inverse autoregressive flow, as the paper writes) or
            "shift" (the released code: s = 1, no features).
        reverse: take the pixels and channels in the opposite order.

    Raises:
        ValueError: for an unknown kind.

    Source: Kingma et al. 2016; arXiv 2007.03898, section 3.2 and appendix; the official neural_ar_operations.py.
    """

    def __init__(
        self, latent: int, context: int, *, hidden: int = 4, kind: str = "affine", reverse: bool = False
    ) -> None:
        super().__init__()
        if kind not in FLOWS:
            raise ValueError(f"kind must be affine or shift, got {kind!r}")
        self.kind, self.reverse = kind, reverse
        own = torch.arange(latent)
        wide = own.repeat_interleave(hidden)
        self.enter = MaskedConv(causal_mask(wide, own, 3, strict=True))
        self.context = nn.Conv2d(context, latent * hidden, 1) if kind == "affine" else None
        self.leave = MaskedConv(causal_mask(own.repeat(2 if kind == "affine" else 1), wide, 1, strict=False))
        with torch.no_grad():
            self.leave.weight.mul_(0.1)
            if self.leave.bias is not None:
                self.leave.bias.zero_()

    def forward(
        self, z: Float[Tensor, "batch latent high wide"], features: Float[Tensor, "batch context high wide"]
    ) -> tuple[Float[Tensor, "batch latent high wide"], Float[Tensor, " batch"]]:
        """The transformed sample and the log-determinant of the map, in nats."""
        if self.reverse:
            z = z.flip(1, 2, 3)
        hidden = self.enter(z)
        if self.context is not None:
            moved = self.context(features)
            hidden = hidden + (moved.flip(2, 3) if self.reverse else moved)
        out = self.leave(elu(hidden))
        if self.kind == "affine":
            shift, log_scale = out.chunk(2, dim=1)
            log_scale = 2 * torch.tanh(log_scale / 2)
            z, volume = z * log_scale.exp() + shift, log_scale.flatten(1).sum(1)
        else:
            z, volume = z - out, out.new_zeros(len(out))
        return (z.flip(1, 2, 3) if self.reverse else z), volume


class Flow(nn.Module):
    """Pairs of cells, the second of each pair in the opposite order.

    Args:
        latent: channels of z.
        context: channels of the encoder's features.
        pairs: number of pairs ≥ 1.
        options: of `FlowCell`.
    """

    def __init__(self, latent: int, context: int, *, pairs: int = 1, **options: Any) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            [FlowCell(latent, context, reverse=bool(i % 2), **options) for i in range(2 * pairs)]
        )

    def forward(
        self, z: Float[Tensor, "batch latent high wide"], features: Float[Tensor, "batch context high wide"]
    ) -> tuple[Float[Tensor, "batch latent high wide"], Float[Tensor, " batch"]]:
        """The transformed sample and the sum of the log-determinants."""
        volume = z.new_zeros(len(z))
        for cell in self.cells:
            z, added = cell(z, features)
            volume = volume + added
        return z, volume
