"""What h_n becomes for large n: a rate, a constant, and from them the rule n > 8.31 log N (for any norm).

Laplace's method puts all weight on the angle θ* that maximises β cos θ + log sin θ. With w = √(1+4β²):

    cos θ* = (w − 1)/2β,    h_n = n log sin θ* + c₀(β) + O(1/n),    log sin θ* = −½ log((1 + w)/2);

for β = 1, cos θ* = 1/φ (φ the golden ratio, θ* = 51.83°) and the rate is −½ log φ = −0.2406.
"""

from __future__ import annotations

import math

from kexue.embedding import _checks
from kexue.embedding._checks import Real
from kexue.embedding.annealed import SOFTMAXES


def dominant_cosine(norm_product: Real = 1.0) -> float:
    """cos θ* = (√(1+4β²) − 1)/2β, the cosine of the pairs that carry the softmax.

    Args:
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        A cosine in (0, 1); 1/φ = 0.618 for β = 1.

    Raises:
        ValueError: for β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695, the Laplace estimate (β = 1); general β is ours.
    """
    beta = _checks.norm_product(norm_product)
    return 2 * beta / (1 + math.hypot(1, 2 * beta))


def curvature(norm_product: Real = 1.0) -> float:
    """−g''(θ*) = 1/sin²θ* + β cos θ*, how sharply g = β cos θ + log sin θ peaks: e^{ng} is 1/√(n · this) wide.

    Args:
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        A number > 1; √5 for β = 1.

    Raises:
        ValueError: for β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695, which prints half of it with its sign, −1.11803.
    """
    beta, cosine = _checks.norm_product(norm_product), dominant_cosine(norm_product)
    return beta / cosine + beta * cosine


def rate(norm_product: Real = 1.0) -> float:
    """lim h_n/n = log sin θ* = −½ log((1 + √(1+4β²))/2), in nats per dimension.

    Args:
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        A negative number; −½ log φ = −0.240606 for β = 1, ≈ −β²/2 for small β.

    Raises:
        ValueError: for β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695 (β = 1).
    """
    beta = _checks.norm_product(norm_product)
    excess = 4 * beta * beta / (1 + math.hypot(1, 2 * beta))  # w − 1 without its cancellation
    return -math.log1p(excess / 2) / 2


def coefficient(norm_product: Real = 1.0, softmax: str = "joint") -> float:
    """The constant of the rule n > constant · log N: 2/|rate| for the joint softmax, 1/|rate| for a row.

    Args:
        norm_product: β = ‖u‖‖v‖/n > 0.
        softmax: "joint" or "row".

    Returns:
        4/log φ = 8.3123 (joint) or 4.1562 (row) for β = 1.

    Raises:
        ValueError: for β ≤ 0, NaN, infinity or another softmax.

    Source: kexue.fm/archives/7695, which rounds the rate to 0.24 and prints 8.33.
    """
    copies = 1 + (_checks.one_of("softmax", softmax, SOFTMAXES) == "joint")
    return -copies / rate(norm_product)


def constant(norm_product: Real = 1.0) -> float:
    """c₀(β) = lim h_n − n · rate, what the article's estimate drops.

    With s = sin θ*, w = √(1+4β²):  c₀ = −2 log s − ½ log(s⁻² + β² s²) − β cos θ* (w − 1)/w².
    For β = 1: log φ − ¼ log 5 − 2/(5φ²) = −0.0739.

    Args:
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        The constant, in nats.

    Raises:
        ValueError: for β ≤ 0, NaN or infinity.

    Source: not in the article; Laplace's method to the next order.
    """
    beta = _checks.norm_product(norm_product)
    w, cosine = math.hypot(1, 2 * beta), dominant_cosine(beta)
    return -math.log(cosine / beta) - math.log(curvature(beta)) / 2 - beta * cosine * (w - 1) / w**2


def asymptotic_dimension(vocabulary: Real, norm_product: Real = 1.0, softmax: str = "joint") -> float:
    """The root of H(n, N) = 0 to two terms: n ≈ coefficient · log N + c₀/|rate|.

    For β = 1, joint: 8.312348 log N − 0.3073 (the article: 8.33 log N), within 0.01 of the root for N ≥ 10.

    Args:
        vocabulary: number of words N ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.
        softmax: "joint" or "row".

    Returns:
        A real dimension.

    Raises:
        ValueError: for N < 2, β ≤ 0, NaN, infinity or another softmax.
    """
    size = _checks.vocabulary(vocabulary)
    return coefficient(norm_product, softmax) * math.log(size) - constant(norm_product) / rate(norm_product)
