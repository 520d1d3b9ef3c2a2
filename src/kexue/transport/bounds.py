"""How much of W1 a critic really found: lower bounds that hold for any function whatever."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.transport import _checks
from kexue.transport.cost import distances
from kexue.transport.ctransform import c_transform

BLOCK = 2**22  # entries of a block of the distance matrix


def steepest_slope(values: Float[Tensor, " n"], points: Float[Tensor, "n d"]) -> float:
    """L = max over pairs of |f(u) − f(v)| / ‖u − v‖, computed in float64 and in blocks.

    Args:
        values: f at the points, shape (n,).
        points: shape (n, d), dtype and device of `values`.

    Returns:
        L; zero for one point. Pairs that coincide are left out if f agrees there up to rounding.

    Raises:
        TypeError, ValueError: for points as in `wasserstein`, values that do not fit them, and two values at one point.
    """
    _checks.points("points", points)
    _checks.potential(values, points)
    f, x = values.detach().double(), points.detach().double()
    rounding = 64 * torch.finfo(values.dtype).eps * (1 + float(f.abs().max()))
    steepest = 0.0
    for start in range(0, len(x), max(1, BLOCK // len(x))):
        rows = slice(start, start + max(1, BLOCK // len(x)))
        rise, run = (f[rows, None] - f).abs(), distances(x[rows], x)
        if bool((rise[run == 0] > rounding).any()):
            raise ValueError(
                "values must be those of a function: two points coincide and their values differ"
            )
        steepest = max(steepest, float(torch.where(run == 0, 0, rise / run).max()))
    return steepest


def lipschitz_bound(
    values_x: Float[Tensor, " n"],
    values_y: Float[Tensor, " m"],
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
) -> float:
    """LB₁ = (mean f(x) − mean f(y)) / L ≤ W1, with L the steepest slope of f between any two of the n + m points.

    f/L is 1-Lipschitz on the points, and every such function extends to the whole space (McShane).

    Args:
        values_x: f at x, shape (n,).
        values_y: f at y, shape (m,).
        x: shape (n, d).
        y: shape (m, d).

    Returns:
        The bound, negative when f points the wrong way; zero for a constant f.

    Raises:
        TypeError, ValueError: as `steepest_slope`.
    """
    _checks.pair(x, y)
    _checks.potential(values_x, x)
    _checks.potential(values_y, y)
    slope = steepest_slope(torch.cat([values_x, values_y]), torch.cat([x, y]))
    rise = float(values_x.detach().double().mean() - values_y.detach().double().mean())
    return 0.0 if slope == 0 else rise / slope


def semidual_bound(values_x: Float[Tensor, " n"], x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """LB₂ = mean f(x) + mean f^c(y) ≤ W1, the minimum in f^c taken over all of x: the repair of any critic.

    Args:
        values_x: f at x, shape (n,).
        x: shape (n, d).
        y: shape (m, d).

    Returns:
        The bound, in float64. The zero function gives the mean distance to the nearest neighbour, which in high
            dimension is already most of a batch's W1.

    Raises:
        TypeError, ValueError: as `c_transform`.
    """
    transformed = c_transform(values_x.detach(), x.detach(), y.detach(), double=True)
    return math.fsum((float(values_x.detach().double().mean()), float(transformed.mean())))
