"""Random codes that find themselves: the dimension at which p(i | i) passes one half."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from scipy.optimize import brentq
from torch import Tensor

from kexue.embedding import _checks
from kexue.embedding._checks import Real
from kexue.embedding.annealed import log_mean_exp
from kexue.embedding.codebook import BLOCK


def retrieval_coefficient() -> float:
    """The constant of n > constant · log N for retrieval: 1/(1 − (1/φ − ½ log φ)) = 1.606.

    A code's own logit is n; its N − 1 competitors sum to N e^{0.3774 n}. Retrieval wants one word back, not a
    softmax sharper than every corpus: it costs a fifth of the entropy rule.

    Source: not in the article.
    """
    golden = (1 + math.sqrt(5)) / 2
    return 1 / (1 - 1 / golden + math.log(golden) / 2)


def retrieval_dimension(vocabulary: Real) -> float:
    """The real n with n = log(N − 1) + log E[e^{n cos θ}]: a random code then gives itself probability ½.

    Args:
        vocabulary: number of words N ≥ 20 (for fewer the answer is below 2 dimensions or nearly so).

    Returns:
        A real dimension ≥ 2.

    Raises:
        ValueError: for N < 20, NaN or infinity.
    """
    size = _checks.real("vocabulary", vocabulary, at_least=20)
    return float(
        brentq(lambda n: n - math.log(size - 1) - log_mean_exp(n), 2.0, 4 * math.log(size) + 10, xtol=1e-10)
    )


def self_probability(codes: Float[Tensor, "n d"], *, block: int = BLOCK) -> Float64[Tensor, " n"]:
    """p(i | i) of the row softmax of tied codes, e^{⟨u_i,u_i⟩} / Σ_j e^{⟨u_i,u_j⟩}, in blocks.

    Args:
        codes: shape (n, d).
        block: number of logits held at a time, ≥ 1.

    Returns:
        The probability each code gives itself, float64, shape (n,).

    Raises:
        ValueError: when a code is not finite, there are none, or block < 1.
    """
    _checks.real("block", block, at_least=1)
    if not codes.numel() or not codes.isfinite().all():
        raise ValueError(f"codes must be finite and not empty, got shape {tuple(codes.shape)}")
    own = (codes.double() ** 2).sum(1)
    step = max(1, block // len(codes))
    log_z = [
        (codes[start : start + step] @ codes.T).double().logsumexp(1) for start in range(0, len(codes), step)
    ]
    return (own - torch.cat(log_z)).exp()
