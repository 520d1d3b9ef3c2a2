"""Euclidean distances in full precision, also between points that nearly coincide."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import cdist
from torch import Tensor

CANCELLATION = (
    1 / 3
)  # entries below this power of the machine precision, of the squared scale, are computed again
FEW_COORDINATES = 16  # up to here differences are as fast as a matrix product
IN_CACHE = 2**15  # complex differences held at a time
FEW_POINTS = (
    4  # for fewer a coordinate than this, passes over the matrix are cheaper than copies of the points
)


def distances(x: Float[Tensor, "*k n d"], y: Float[Tensor, "*k m d"]) -> Float[Tensor, "*k n m"]:
    """‖x_i − y_j‖ for all pairs, with a relative error below 1e-10 in float64 and 5e-5 in float32.

    The matrix product ‖x‖² + ‖y‖² − 2⟨x, y⟩ is fast and cancels where points nearly coincide. With machine precision η,
    entries below η^⅓ of the squared scale are computed again from differences; the others lose at most η^⅔.
    (`torch.cdist` leaves small ones wrong by √η of the scale.)

    Args:
        x: shape (…, n, d).
        y: shape (…, m, d), of the same dtype and device.

    Returns:
        Distances, shape (…, n, m), dtype and device of the points.
    """
    if x.shape[-1] <= FEW_COORDINATES:
        return _differences(x, y)
    graph = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    if not graph and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(euclidean(x.detach().numpy(), y.detach().numpy()))
    centre = x[..., :1, :]
    for moved in (False, True):  # far from the origin everything seems close
        a, b = (x - centre, y - centre) if moved else (x, y)
        square_a, square_b = (torch.linalg.vector_norm(c, dim=-1).square_() for c in (a, b))
        squared = torch.matmul(a, b.mT).mul_(-2).add_(square_a[..., None]).add_(square_b[..., None, :])
        limit = torch.finfo(x.dtype).eps ** CANCELLATION * float(square_a.max() + square_b.max())
        if float(squared.amin()) >= limit:
            return squared.sqrt_()
        close = (squared < limit).nonzero(as_tuple=True)
        if 20 * len(close[0]) <= squared.numel():
            squared.clamp_(min=0).sqrt_()
            squared[close] = torch.linalg.vector_norm(x[close[:-1]] - y[close[:-2] + close[-1:]], dim=-1)
            return squared
    return _differences(x, y)


def euclidean(x: Float[np.ndarray, "*k n d"], y: Float[np.ndarray, "*k m d"]) -> Float[np.ndarray, "*k n m"]:
    """As `distances`, for arrays on the CPU.

    Args:
        x: shape (…, n, d), float32 or float64.
        y: shape (…, m, d), of the same dtype.

    Returns:
        Distances, shape (…, n, m), of that dtype.
    """
    if x.shape[-1] <= FEW_COORDINATES:
        # of so few coordinates one pass more costs nothing; four times the squares bounds those of the distances
        proven = math.isfinite(4 * (float(np.vdot(x, x)) + float(np.vdot(y, y))))
        planar = proven and x.shape[-1] == 2 and x.dtype == np.float64
        return _in_the_plane(x, y) if planar else _by_coordinate(x, y)
    share = np.finfo(x.dtype).eps ** CANCELLATION
    with np.errstate(over="ignore", invalid="ignore"):
        for centre in (None, x[..., :1, :]):  # far from the origin everything seems close
            a, b = (x, y) if centre is None else (x - centre, y - centre)
            squares_a, squares_b = np.vecdot(a, a), np.vecdot(b, b)
            scale = float(np.maximum.reduce(squares_a, None) + np.maximum.reduce(squares_b, None))
            if not math.isfinite(4 * scale):
                break
            squared = _squared(a, b, squares_a, squares_b)
            limit = share * scale
            if np.minimum.reduce(squared, None) >= limit:
                np.sqrt(squared, out=squared)
                return squared
            close = np.nonzero(squared < limit)
            if 20 * len(close[0]) <= squared.size:
                np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
                moved = x[close[:-1]] - y[close[:-2] + close[-1:]]
                squared[close] = np.sqrt(np.vecdot(moved, moved))
                return squared
        return _by_coordinate(x, y)


def _in_the_plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Points of the plane as complex numbers, |x_i − y_j|: a vector operation, where loops over coordinates are not."""
    left, right = (np.ascontiguousarray(points).view(np.complex128) for points in (x, y))
    right = right.swapaxes(-1, -2)
    n, width = left.shape[-2], right.size
    step = max(1, IN_CACHE // width)
    if n <= step:
        found: np.ndarray = np.abs(left - right)
        return found
    found = np.empty((*left.shape[:-1], right.shape[-1]))
    for first in range(0, n, step):
        rows = slice(first, first + step)
        np.abs(left[..., rows, :] - right, out=found[..., rows, :])
    return found


def _squared(a: np.ndarray, b: np.ndarray, squares_a: np.ndarray, squares_b: np.ndarray) -> np.ndarray:
    """‖a_i‖² + ‖b_j‖² − 2⟨a_i, b_j⟩; of many points in one product with the squares as two more coordinates."""
    d = a.shape[-1]
    if FEW_POINTS * d > b.shape[-2]:
        squared: np.ndarray = np.matmul(a, b.swapaxes(-1, -2))
        squared *= -2
        squared += squares_a[..., None]
        squared += squares_b[..., None, :]
        return squared
    left, right = (np.empty((*points.shape[:-1], d + 2), points.dtype) for points in (a, b))
    np.multiply(a, -2, out=left[..., :d])
    right[..., :d] = b
    left[..., d], left[..., d + 1] = squares_a, 1
    right[..., d], right[..., d + 1] = 1, squares_b
    product: np.ndarray = np.matmul(left, right.swapaxes(-1, -2))
    return product


def _by_coordinate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.ndim == 2 and x.dtype == np.float64:
        found: np.ndarray = cdist(x, y)
        return found
    return _differences(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def _differences(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
