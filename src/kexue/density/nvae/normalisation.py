"""Batch normalisation followed by an activation, with the intermediate result kept or computed again.

Backward through `activation(batch_norm(x))` needs x and the normalised x. The latter is cheap to compute again, so the
fused form keeps only x: the paper's gradient checkpointing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import elu, silu

MOMENTUM = 0.05  # torch's convention: the share of the new batch; the paper and the code agree on it
NORMS = ("batch", "weight", "batch+weight")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"swish": silu, "elu": elu}


class _Fused(torch.autograd.Function):
    """swish(batch_norm(x)) that saves x, not the normalised x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        training: bool,
        epsilon: float,
    ) -> Tensor:
        normalised, batch_mean, inverse = torch.native_batch_norm(
            x, weight, bias, mean, variance, training, MOMENTUM, epsilon
        )
        ctx.save_for_backward(x, weight, bias, mean, variance, batch_mean, inverse)
        ctx.training, ctx.epsilon = training, epsilon
        return silu(normalised)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, bias, mean, variance, batch_mean, inverse = ctx.saved_tensors
        if ctx.training:
            centre, factor = batch_mean, inverse
        else:
            centre, factor = mean, (variance + ctx.epsilon).rsqrt()
        shape = (1, -1, 1, 1)
        y = ((x - centre.view(shape)) * (factor * weight).view(shape) + bias.view(shape)).to(x.dtype)
        gate = torch.sigmoid(y)
        inner = gradients[0] * gate * (1 + y * (1 - gate))
        wanted = torch.ops.aten.native_batch_norm_backward(
            inner.to(x.dtype),
            x,
            weight,
            mean,
            variance,
            batch_mean,
            inverse,
            ctx.training,
            ctx.epsilon,
            [True] * 3,
        )
        return (*wanted, None, None, None, None)


class Activated(nn.Module):
    """Norm, then activation.

    Args:
        channels: of the input.
        norm: "batch"; "weight" has no norm here (the convolutions are weight-normalised instead); "batch+weight" both,
            as in the official code.
        activation: "swish", "elu" or "none".
        recompute: keep only the input for the backward pass (batch norm with swish).

    Raises:
        ValueError: for an unknown norm or activation.

    Source: arXiv 2007.03898, sections 3.1 and 3.3; recomputation after Bulò et al. 2018 (In-place ABN).
    """

    def __init__(self, channels: int, *, norm: str, activation: str, recompute: bool) -> None:
        super().__init__()
        if norm not in NORMS or activation not in (*ACTIVATIONS, "none"):
            raise ValueError(
                f"norm must be one of {', '.join(NORMS)}, activation swish, elu or none; got {norm!r}, {activation!r}"
            )
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM) if norm != "weight" else None
        self.activation = activation
        self.recompute = recompute and self.norm is not None and activation == "swish"

    def forward(
        self, x: Float[Tensor, "batch channels high wide"]
    ) -> Float[Tensor, "batch channels high wide"]:
        """The activated input."""
        norm = self.norm
        if norm is not None and self.recompute:
            fused: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
                x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.training, norm.eps
            )
            if norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked += 1
            return fused
        if norm is not None:
            x = norm(x)
        return ACTIVATIONS[self.activation](x) if self.activation != "none" else x
