"""How samples compare with data: precision and recall by nearest neighbours, sharpness by Fourier power, nearest images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def precision_recall(
    real: Float[Tensor, "reals d"], fake: Float[Tensor, "fakes d"], k: int = 3
) -> tuple[float, float]:
    """Share of samples within the data's manifold, and share of data within the samples'.

    The manifold of a set is the union of balls round its points, each reaching to the point's k-th neighbour.

    Args:
        real: data, flattened.
        fake: samples, flattened.
        k: neighbour that sets a ball's radius, ≥ 1.

    Returns:
        Precision and recall, in [0, 1].

    Raises:
        ValueError: when a set has no k-th neighbour.

    Source: Kynkäänniemi et al. 2019.
    """
    if k < 1 or min(len(real), len(fake)) <= k:
        raise ValueError(
            f"k must be ≥ 1 and below the size of both sets, got {k}, {len(real)} and {len(fake)}"
        )

    def inside(points: Tensor, of: Tensor) -> float:
        radius = torch.cdist(of, of).kthvalue(k + 1, dim=1).values  # the nearest point of a set is itself
        return float((torch.cdist(points, of) <= radius).any(1).double().mean())

    return inside(fake, real), inside(real, fake)


def sharpness(images: Float[Tensor, "images channels high wide"]) -> float:
    """Share of an image's power, its mean left out, at frequencies above half the highest, averaged over images.

    Args:
        images: of any values.

    Returns:
        A number in [0, 1]; blur lowers it.
    """
    power = torch.fft.fft2(images.double()).abs().square()
    rows = torch.fft.fftfreq(images.shape[-2]).abs()[:, None]
    columns = torch.fft.fftfreq(images.shape[-1]).abs()[None]
    fine = (torch.maximum(rows, columns) > 0.25).to(images.device)
    power[..., 0, 0] = 0
    total = power.sum(dim=(1, 2, 3)).clamp(min=1e-12)
    return float(((power * fine).sum(dim=(1, 2, 3)) / total).mean())


def nearest_distance(
    points: Float[Tensor, "points d"], of: Float[Tensor, "others d"]
) -> Float[Tensor, " points"]:
    """Euclidean distance of each point to the nearest of another set."""
    return torch.cdist(points, of).amin(1)
