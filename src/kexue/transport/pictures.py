"""What can be said of a set of pictures without a model: sharpness, diversity, blur, shrinkage, shifts, patches."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad


def sharpness(images: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Laplacian energy: the mean square of 4x − (four neighbours) over the inner pixels.

    Args:
        images: at least 3 × 3 pixels.

    Returns:
        The energy of each image, in squared intensities.

    Raises:
        ValueError: for images below 3 × 3.
    """
    if min(images.shape[1:]) < 3:
        raise ValueError(f"images must be at least 3 × 3, got {tuple(images.shape[1:])}")
    inner = images[:, 1:-1, 1:-1]
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return (4 * inner - around).square().mean((1, 2))


def diversity(points: Float[Tensor, "n d"]) -> float:
    """Mean Euclidean distance between two different points of a set of at least two."""
    if len(points) < 2:
        raise ValueError(f"points must hold at least 2, got {len(points)}")
    return float(torch.nn.functional.pdist(points).mean())


def distance_to_nearest(points: Float[Tensor, "n d"], anchors: Float[Tensor, "m d"]) -> float:
    """Mean Euclidean distance from a point to the anchor nearest to it."""
    if not len(points) or not len(anchors):
        raise ValueError(f"points and anchors must not be empty, got {len(points)} and {len(anchors)}")
    return float(torch.cdist(points, anchors).amin(1).mean())


def blur(images: Float[Tensor, "n h w"], sigma: float) -> Float[Tensor, "n h w"]:
    """Gaussian blur of standard deviation σ > 0 pixels, edges repeated."""
    if not sigma > 0:
        raise ValueError(f"sigma must be > 0, got {sigma!r}")
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = pad(images[:, None], (radius,) * 4, mode="replicate")
    across = conv2d(padded, kernel.view(1, 1, 1, -1))
    blurred: Tensor = conv2d(across, kernel.view(1, 1, -1, 1))[:, 0]
    return blurred


def shrink(points: Float[Tensor, "n d"], share: float, mean: Float[Tensor, " d"]) -> Float[Tensor, "n d"]:
    """x̄ + s (x − x̄): the points drawn towards their mean."""
    return mean + share * (points - mean)


def keep_components(
    points: Float[Tensor, "n d"], count: int, reference: Float[Tensor, "m d"]
) -> Float[Tensor, "n d"]:
    """Projection onto the first principal components of a reference set.

    Args:
        points: to be projected.
        count: components kept, 0 … d.
        reference: the set whose mean and components are used.

    Raises:
        ValueError: for a count out of range.
    """
    if not 0 <= count <= points.shape[1]:
        raise ValueError(f"count must lie in [0, {points.shape[1]}], got {count}")
    mean = reference.mean(0)
    components: Tensor = torch.linalg.svd(reference - mean, full_matrices=False).Vh[:count]
    projected: Tensor = mean + (points - mean) @ components.T @ components
    return projected


def shift(images: Float[Tensor, "n h w"], rows: int, columns: int) -> Float[Tensor, "n h w"]:
    """Every image moved by whole pixels, zeros moving in (a negative number: up, left)."""
    height, width = images.shape[1:]
    if abs(rows) >= height or abs(columns) >= width:
        raise ValueError(
            f"rows and columns must be smaller than {height} × {width}, got {rows} and {columns}"
        )
    moved = torch.zeros_like(images)
    into = (slice(max(rows, 0), height + min(rows, 0)), slice(max(columns, 0), width + min(columns, 0)))
    out = (slice(max(-rows, 0), height + min(-rows, 0)), slice(max(-columns, 0), width + min(-columns, 0)))
    moved[:, into[0], into[1]] = images[:, out[0], out[1]]
    return moved


def patches(images: Float[Tensor, "*k n h w"], side: int = 3) -> Float[Tensor, "*k n count pixels"]:
    """All side × side patches of each image, in reading order."""
    if not 1 <= side <= min(images.shape[-2:]):
        raise ValueError(f"side must lie in [1, {min(images.shape[-2:])}], got {side}")
    windows = images.unfold(-2, side, 1).unfold(-2, side, 1)
    return windows.flatten(-2).flatten(-3, -2)


def sliced_distance(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], *, generator: torch.Generator, directions: int = 64
) -> float:
    """Sliced W1: the mean over random directions of the 1-D distance, mean |⟨u, x⟩_(i) − ⟨u, y⟩_(i)|.

    Args:
        x: points.
        y: as many points.
        generator: draws the directions, on the points' device.
        directions: ≥ 1.

    Raises:
        ValueError: when the numbers of points differ or there are none.
    """
    if x.shape != y.shape or not len(x):
        raise ValueError(f"x and y must have one shape and points, got {tuple(x.shape)} and {tuple(y.shape)}")
    along = torch.randn(x.shape[1], directions, generator=generator, device=x.device, dtype=x.dtype)
    along = along / along.norm(dim=0)
    return float(((x @ along).sort(0).values - (y @ along).sort(0).values).abs().mean())
