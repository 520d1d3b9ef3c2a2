"""Transport on a line: sorting solves it, in O(n log n) and without a cost matrix."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

DUST = 1e-14  # what is left between two sums of masses that ought to be equal


def monotone_coupling(
    x: Float64[Tensor, " n"], y: Float64[Tensor, " m"], a: Float64[Tensor, " n"], b: Float64[Tensor, " m"]
) -> tuple[Int64[Tensor, " k"], Int64[Tensor, " k"], Float64[Tensor, " k"]]:
    """The coupling that joins equal quantiles; optimal for |x − y| (and any convex function of it).

    Args:
        x: shape (n,), float64.
        y: shape (m,), float64.
        a: masses of x, sum 1.
        b: masses of y, sum 1.

    Returns:
        Indices into x, indices into y and positive masses, at most n + m − 1 of each.
    """
    order_x, order_y = torch.argsort(x), torch.argsort(y)
    levels_x, levels_y = a[order_x].cumsum(0), b[order_y].cumsum(0)
    levels = torch.cat([levels_x, levels_y]).clamp_(max=1).sort().values
    levels[-1] = 1
    mass = torch.diff(levels, prepend=levels.new_zeros(1))
    kept = mass > DUST
    mass, middle = mass[kept], (levels - mass / 2)[kept]
    rows = torch.searchsorted(levels_x, middle).clamp_(max=len(x) - 1)
    columns = torch.searchsorted(levels_y, middle).clamp_(max=len(y) - 1)
    return order_x[rows], order_y[columns], mass


def line_potential(
    x: Float64[Tensor, " n"], y: Float64[Tensor, " m"], a: Float64[Tensor, " n"], b: Float64[Tensor, " m"]
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, " m"]]:
    """The Kantorovich potential on a line: slope −1 where x's distribution function is ahead, +1 where it is behind.

    W1 = ∫|F_x − F_y| = ∫ f d(μ − ν) with f' = −sign(F_x − F_y).

    Args:
        x: shape (n,), float64.
        y: shape (m,), float64.
        a: masses of x, sum 1.
        b: masses of y, sum 1.

    Returns:
        f at the points of x, and −f at the points of y.
    """
    where, order = torch.cat([x, y]).sort()
    ahead = torch.cat([a, -b])[order].cumsum(0)[:-1]
    # at a tie any slope from −1 to 1 is right
    slope = -torch.where(ahead.abs() > DUST, ahead.sign(), torch.zeros_like(ahead))
    heights = torch.cat([where.new_zeros(1), (slope * torch.diff(where)).cumsum(0)])
    potential = torch.empty_like(heights)
    potential[order] = heights
    return potential[: len(x)], -potential[len(x) :]
