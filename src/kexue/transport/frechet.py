"""Fréchet distance between Gaussians fitted to two sets of features, and the least one can hope to read off it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kexue.transport import _checks


def gaussian_distance(
    mean_x: Float64[Tensor, " d"],
    covariance_x: Float64[Tensor, "d d"],
    mean_y: Float64[Tensor, " d"],
    covariance_y: Float64[Tensor, "d d"],
) -> float:
    """W2² between two Gaussians: ‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½).

    The last trace is the sum of the singular values of Σ₁^½ Σ₂^½, with the roots from eigen-decompositions: no root of
    a non-symmetric product, so rank-deficient covariances are no trouble.

    Args:
        mean_x: shape (d,), float64.
        covariance_x: shape (d, d), symmetric, positive semi-definite.
        mean_y: shape (d,).
        covariance_y: shape (d, d).

    Returns:
        The squared distance, ≥ 0.

    Source: Dowson and Landau (1982); Heusel et al. (2017) for its use on features.
    """
    root_x, root_y = _root(covariance_x), _root(covariance_y)
    overlap = torch.linalg.svdvals(root_x @ root_y).sum()
    spread = torch.trace(covariance_x) + torch.trace(covariance_y) - 2 * overlap
    return max(0.0, float(((mean_x - mean_y) ** 2).sum() + spread))


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """`gaussian_distance` between the Gaussians fitted to two sets of features (covariances over n − 1).

    Args:
        x: features, shape (n ≥ 2, d).
        y: features, shape (m ≥ 2, d), dtype and device of x.

    Returns:
        The squared distance, in float64. Biased upwards: compare with `frechet_floor` at the same n and m.

    Raises:
        TypeError, ValueError: for features as for points in `wasserstein`, and for fewer than two.
    """
    _checks.pair(x, y)
    for name, features in (("x", x), ("y", y)):
        if len(features) < 2:
            raise ValueError(
                f"{name} must hold at least two points to have a covariance, got {len(features)}"
            )
    (mean_x, covariance_x), (mean_y, covariance_y) = _moments(x), _moments(y)
    return gaussian_distance(mean_x, covariance_x, mean_y, covariance_y)


def frechet_floor(
    features: Float[Tensor, "n d"], size: int, *, repeats: int, generator: torch.Generator
) -> Float64[Tensor, " repeats"]:
    """Real against real: the distance between two disjoint random subsets of the same features.

    Args:
        features: shape (n, d).
        size: points in each subset, 2 ≤ size ≤ n/2.
        repeats: number of random splits ≥ 1.
        generator: source of randomness, on the CPU.

    Returns:
        Distances, shape (repeats,).

    Raises:
        TypeError, ValueError: for features as for points in `wasserstein`, a size or number out of range.
    """
    _checks.points("features", features)
    _checks.whole("size", size, 2, len(features) // 2)
    _checks.whole("repeats", repeats, 1)
    values = []
    for _ in range(repeats):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        values.append(frechet_distance(features[order[:size]], features[order[size : 2 * size]]))
    return torch.tensor(values, dtype=torch.float64)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    values = features.detach().double()
    mean = values.mean(0)
    centred = values - mean
    return mean, centred.T @ centred / (len(values) - 1)


def _root(covariance: Tensor) -> Tensor:
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T
    return root
