"""How many groups of latents at which size, and the paper's choices."""

from __future__ import annotations

from collections.abc import Sequence


def groups_per_scale(scales: int, largest: int, *, minimum: int = 1) -> list[int]:
    """Groups at each scale, smallest size first: `largest` at the largest size, halved at each smaller one.

    Args:
        scales: number of sizes ≥ 1.
        largest: groups at the largest size ≥ 1.
        minimum: no scale has fewer.

    Returns:
        For example 5 and 10 for (2, 10); 4, 4, 4, 8, 16 for (5, 16) with minimum 4.

    Raises:
        ValueError: for a number below one.

    Source: arXiv 2007.03898, appendix A; kexue.fm/archives/7574.
    """
    if min(scales, largest, minimum) < 1:
        raise ValueError(f"scales, largest and minimum must be ≥ 1, got {scales}, {largest}, {minimum}")
    counts = [largest]
    for _ in range(scales - 1):
        counts.append(max(counts[-1] // 2, minimum))
    return counts[::-1]


def latent_size(groups: Sequence[int], sizes: Sequence[int], channels: int) -> int:
    """Σ_i groups_i · size_i² · channels: how many numbers z holds.

    Args:
        groups: of each scale.
        sizes: side of each scale, in the same order.
        channels: of z in a group.

    Returns:
        6,005,760 for the paper's FFHQ model.

    Raises:
        ValueError: when groups and sizes differ in length.
    """
    if len(groups) != len(sizes):
        raise ValueError(
            f"groups and sizes must be of one length, got {len(groups)} groups and {len(sizes)} sizes"
        )
    return channels * sum(count * size**2 for count, size in zip(groups, sizes, strict=True))
