"""Random codebooks and the exact entropy of their softmax, in blocks: N² logits are never held."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from kexue.embedding import _checks
from kexue.embedding._checks import Real

BLOCK = 2**22  # logits held at a time


class SoftmaxEntropy(NamedTuple):
    """Exact entropies of the softmax of U Vᵀ, in nats, and its largest logit."""

    joint: float
    rows: Float64[Tensor, " n"]
    largest: float


def sphere_codebook(
    count: int,
    n: int,
    *,
    norm_product: Real = 1.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "count n"]:
    """Vectors uniform on the sphere of radius √(βn), on the generator's device.

    Two of them drawn independently have logits β n cos θ; β = 1 means components of size about 1.

    Args:
        count: number of vectors ≥ 1.
        n: dimension ≥ 2.
        norm_product: β > 0.
        generator: source of randomness; its device is the result's.
        dtype: floating dtype of the result.

    Returns:
        The vectors, shape (count, n).

    Raises:
        ValueError: for count < 1, n < 2, β ≤ 0 or NaN.

    Source: kexue.fm/archives/7695, its assumption on the vectors.
    """
    _checks.real("count", count, at_least=1)
    radius = math.sqrt(_checks.norm_product(norm_product) * _checks.dimension(n))
    vectors = torch.randn(count, n, generator=generator, device=generator.device, dtype=dtype)
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * radius / lengths


def softmax_entropy(
    centres: Float[Tensor, "n d"], contexts: Float[Tensor, "m d"], *, block: int = BLOCK
) -> SoftmaxEntropy:
    """Exact entropies of the softmax over all pairs and over each row of s_ij = ⟨u_i, v_j⟩.

    H = log Z − (1/Z) Σ e^{s} s. One pass over blocks of rows: log-sum-exp within a row, and the chain rule
    H = Σ_i p_i H_i − Σ_i p_i log p_i between rows, in float64. Memory is O(block + n + m): at most `block` logits (or one row) exist at a time, in the dtype of
    the vectors and on their device.

    Args:
        centres: u, shape (n, d).
        contexts: v, shape (m, d), same dtype and device.
        block: number of logits held at a time, ≥ 1.

    Returns:
        `joint`, the entropy over the n·m pairs; `rows`, the n entropies of p(j | i), float64; `largest`,
            max s_ij.

    Raises:
        ValueError: when a vector is not finite, there are none, or block < 1.

    Source: kexue.fm/archives/7695, the entropy of the skip-gram model.
    """
    _checks.real("block", block, at_least=1)
    for name, vectors in (("centres", centres), ("contexts", contexts)):
        if not vectors.numel() or not vectors.isfinite().all():
            raise ValueError(f"{name} must be finite and not empty, got shape {tuple(vectors.shape)}")
    log_z, entropies, largest = [], [], -math.inf
    for start in range(0, len(centres), step := max(1, block // len(contexts))):
        logits = centres[start : start + step] @ contexts.T
        top = logits.amax(1, keepdim=True)
        weights = logits.sub_(top).exp()
        total = weights.sum(1, dtype=torch.float64)
        entropies.append(total.log() - weights.mul_(logits).sum(1, dtype=torch.float64) / total)
        log_z.append(top[:, 0].double() + total.log())
        largest = max(largest, float(top.max()))
    rows, shares = torch.cat(entropies), torch.cat(log_z).softmax(0)
    joint = (shares * rows).sum() - torch.special.xlogy(shares, shares).sum()
    return SoftmaxEntropy(float(joint), rows, largest)


def close_pairs(
    centres: Float[Tensor, "n d"], contexts: Float[Tensor, "m d"], cosine: Real, *, block: int = BLOCK
) -> int:
    """Number of pairs (i, j) with cos(u_i, v_j) ≥ c, counted in blocks.

    Args:
        centres: u, shape (n, d), no zero vector.
        contexts: v, shape (m, d), no zero vector.
        cosine: c.
        block: number of cosines held at a time, ≥ 1.

    Returns:
        The count.

    Raises:
        ValueError: for a cosine that is no finite number, or block < 1.
    """
    _checks.real("block", block, at_least=1)
    threshold = _checks.real("cosine", cosine)
    units, others = (x / x.norm(dim=1, keepdim=True) for x in (centres, contexts))
    step = max(1, block // len(contexts))
    starts = range(0, len(units), step)
    return sum(int((units[start : start + step] @ others.T >= threshold).sum()) for start in starts)
