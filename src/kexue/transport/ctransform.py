"""The c-transform and its soft version, forward and backward, without ever holding the n × m cost matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kexue.transport import _checks
from kexue.transport.cost import distances

ENTRIES_CPU = 2**19  # of a block: a few MB, beyond which time no longer falls
ENTRIES_CUDA = 2**25  # 128 MB in float32: large enough to hide the launches


def c_transform(
    potential: Float[Tensor, " n"], x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, double: bool = False
) -> Float[Tensor, " m"]:
    """f^c(y_j) = min_i { ‖x_i − y_j‖ − f(x_i) }, in O((n + m) d) memory, differentiable in f, x and y.

    f^c is 1-Lipschitz in y whatever f is, and (f, f^c) is a feasible dual pair on the points given. The gradient is the
    one at the minimising x_i; at a tie that is a subgradient.

    Args:
        potential: f at the points x, shape (n,).
        x: shape (n, d), dtype and device of `potential`.
        y: shape (m, d).
        double: work in float64 and return it.

    Returns:
        f^c at the points y, shape (m,).

    Raises:
        TypeError, ValueError: for points as in `wasserstein`, and a potential that does not fit them.

    Source: kexue.fm/archives/8244; Mallasto, Montúfar and Gerolin, arXiv 1910.03875.
    """
    potential, x, y = _ready(potential, x, y, double)
    with torch.no_grad():
        nearest = torch.cat(
            [(distances(block, x) - potential).argmin(1) for block in torch.split(y, _rows(x))]
        )
    # only the minimising pairs carry a gradient, so autograd needs no more than these
    cost: Tensor = torch.linalg.vector_norm(x[nearest] - y, dim=1)
    return cost - potential[nearest]


def soft_c_transform(
    potential: Float[Tensor, " n"],
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    epsilon: float,
    *,
    double: bool = False,
) -> Float[Tensor, " m"]:
    """f^{c,ε}(y_j) = −ε log( (1/n) Σ_i exp(−(‖x_i − y_j‖ − f(x_i)) / ε) ), in O((n + m) d) memory.

    Tends to f^c as ε → 0 and lies above it by at most ε log n. The backward pass computes the blocks again.

    Args:
        potential: f at the points x, shape (n,).
        x: shape (n, d), dtype and device of `potential`.
        y: shape (m, d).
        epsilon: temperature > 0, in the unit of the distances.
        double: work in float64 and return it.

    Returns:
        f^{c,ε} at the points y, shape (m,), differentiable once in f, x and y.

    Raises:
        TypeError, ValueError: as `c_transform`, and for ε ≤ 0.

    Source: Mallasto, Montúfar and Gerolin, arXiv 1910.03875 ((c, ε)-WGAN); mind the sign in the exponent.
    """
    temperature = _checks.real("epsilon", epsilon, above=0)
    potential, x, y = _ready(potential, x, y, double)
    centre = x.detach().mean(0)  # the backward pass subtracts coordinates: keep them small
    value: Tensor = _SoftMinimum.apply(  # type: ignore[no-untyped-call]
        potential / temperature, x - centre, y - centre, temperature
    )
    return value + temperature * torch.log(value.new_tensor(float(len(x))))


class _SoftMinimum(torch.autograd.Function):
    """−ε log Σ_i exp(h_i − c(x_i, y_j)/ε), in blocks of y, both ways."""

    @staticmethod
    def forward(ctx: Any, height: Tensor, x: Tensor, y: Tensor, temperature: float) -> Tensor:
        """The soft minimum at each y, with only the inputs and the result kept."""
        level = torch.cat(
            [
                torch.logsumexp(height - distances(block, x) / temperature, 1)
                for block in torch.split(y, _rows(x))
            ]
        )
        ctx.save_for_backward(height, x, y, level)
        ctx.temperature = temperature
        return -temperature * level

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outward: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """∂/∂c_ij is the posterior p_ij = exp(h_i − c_ij/ε − level_j); the rest is the chain rule."""
        height, x, y, level = ctx.saved_tensors
        grad_height, grad_x, grad_y = torch.zeros_like(height), torch.zeros_like(x), torch.zeros_like(y)
        for rows in _spans(len(y), _rows(x)):
            block = y[rows]
            cost = distances(block, x)
            posterior = (height - cost / ctx.temperature - level[rows, None]).exp_().mul_(outward[rows, None])
            grad_height -= posterior.sum(0)
            pull = posterior.div_(cost).masked_fill_(cost == 0, 0)  # at distance zero any subgradient will do
            grad_y[rows] = block * pull.sum(1, keepdim=True) - pull @ x
            grad_x += x * pull.sum(0)[:, None] - pull.T @ block
        return ctx.temperature * grad_height, grad_x, grad_y, None


def _rows(x: Tensor) -> int:
    return max(1, (ENTRIES_CUDA if x.is_cuda else ENTRIES_CPU) // len(x))


def _spans(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _ready(potential: Tensor, x: Tensor, y: Tensor, double: bool) -> tuple[Tensor, Tensor, Tensor]:
    _checks.pair(x, y)
    _checks.potential(potential, x)
    return (potential.double(), x.double(), y.double()) if double else (potential, x, y)
