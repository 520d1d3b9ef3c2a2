"""The dimension at which the annealed entropy falls to a given value: the rule as a calculator."""

from __future__ import annotations

import math

from scipy.optimize import brentq

from kexue.embedding import _checks
from kexue.embedding._checks import Real
from kexue.embedding.annealed import SOFTMAXES, annealed_entropy, offset


def threshold_dimension(
    vocabulary: Real, norm_product: Real = 1.0, softmax: str = "joint", entropy: Real = 0.0
) -> float:
    """The smallest real n ≥ 2 with H(n, N) ≤ entropy, where H = 2 log N + h_n (joint) or log N + h_n (row).

    Args:
        vocabulary: number of words (or sequence length) N ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.
        softmax: "joint" or "row".
        entropy: the target in nats, 0 ≤ entropy < 2 log N (joint) or log N (row); 0 is the article's rule,
            the entropy of a corpus is the criterion it starts from.

    Returns:
        n ≥ 2, real; 2 where H(2, N) is at or below the target already (a handful of words, or a large norm).

    Raises:
        ValueError: for N < 2, β ≤ 0, an entropy out of range, NaN, infinity or another softmax.

    Source: kexue.fm/archives/7695 (joint, entropy 0); archives/8711 applies it to attention.
    """
    size, beta = _checks.vocabulary(vocabulary), _checks.norm_product(norm_product)
    copies = 1 + (_checks.one_of("softmax", softmax, SOFTMAXES) == "joint")
    uniform = copies * math.log(size)
    target = _checks.real("entropy", entropy, at_least=0) - uniform
    if target >= 0:
        raise ValueError(
            f"entropy must lie below that of the uniform choice, {uniform:.6g} nats, got {entropy!r}"
        )
    if offset(2, beta) <= target:
        return 2.0
    high = 4.0
    while offset(high, beta) > target:
        high *= 2
    return float(brentq(lambda n: offset(n, beta) - target, 2.0, high, xtol=1e-10, rtol=1e-14))


def smallest_dimension(
    vocabulary: Real, norm_product: Real = 1.0, softmax: str = "joint", entropy: Real = 0.0
) -> int:
    """The smallest integer n with H(n, N) < entropy: the article's rule, applied exactly.

    Args:
        vocabulary: number of words (or sequence length) N ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.
        softmax: "joint" or "row".
        entropy: the target in nats, ≥ 0.

    Returns:
        n ≥ 2: 96 for 10⁵ words, 128 for 5·10⁶, 52 for 512 (26 for a row of 512).

    Raises:
        ValueError: as `threshold_dimension`.

    Source: kexue.fm/archives/7695, its two examples.
    """
    n = max(2, math.floor(threshold_dimension(vocabulary, norm_product, softmax, entropy)) - 1)
    while not annealed_entropy(n, vocabulary, norm_product, softmax) < entropy:
        n += 1  # the root's rounding does not decide where H(n, N) is the target itself
    return n
