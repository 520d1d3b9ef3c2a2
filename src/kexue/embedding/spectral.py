"""Count-based embeddings: positive pointwise mutual information and its truncated SVD."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from scipy.stats import spearmanr

from kexue.arrays import Numbers, array
from kexue.embedding import _checks
from kexue.embedding._checks import Real


def positive_mutual_information(
    counts: csr_array | Numbers, *, shift: Real = 1.0, power: Real = 0.75
) -> csr_array:
    """max(0, log p(i, j) / (p(i) q(j)) − log shift), q ∝ (context counts)^power.

    Args:
        counts: pair counts C ≥ 0, shape (N, N); sparse or not.
        shift: k ≥ 1; the number of negative samples makes it the matrix skip-gram factorises.
        power: smoothing of the contexts, in (0, 1]; 0.75 in word2vec.

    Returns:
        Sparse matrix of the same shape.

    Raises:
        ValueError: when all counts are zero, shift < 1 or power ≤ 0.

    Source: Levy & Goldberg 2014, eq. 10–11; Levy, Goldberg & Dagan 2015 (smoothing).
    """
    counts = csr_array(counts)
    _checks.real("shift", shift, at_least=1)
    _checks.real("power", power, above=0)
    total = float(counts.sum())
    if not total > 0:
        raise ValueError("counts must not be all zero")
    centre = np.asarray(counts.sum(1)).ravel() / total
    context = np.asarray(counts.sum(0)).ravel() ** float(power)
    context /= context.sum()
    sparse = counts.tocoo()
    sparse.eliminate_zeros()
    information = np.log(sparse.data / total / (centre[sparse.row] * context[sparse.col])) - np.log(
        float(shift)
    )
    keep = information > 0
    return csr_array((information[keep], (sparse.row[keep], sparse.col[keep])), shape=counts.shape)


def truncated_svd(
    matrix: csr_array, n: int, *, seed: int
) -> tuple[Float64[np.ndarray, "words n"], Float64[np.ndarray, " n"]]:
    """The n leading left singular vectors and singular values, largest first.

    The first m columns are the decomposition for every m ≤ n: one call serves a whole sweep of dimensions.

    Args:
        matrix: sparse, shape (N, N).
        n: 2 ≤ n < N.
        seed: of the starting vector.

    Returns:
        Left vectors (N, n), their signs fixed so that the largest entry is positive, and values (n,).

    Raises:
        ValueError: for n out of range.

    Source: scipy.sparse.linalg.svds (ARPACK).
    """
    if not 2 <= n < min(matrix.shape):
        raise ValueError(f"n must lie in [2, {min(matrix.shape) - 1}], got {n}")
    left, values, _ = svds(matrix, k=n, rng=np.random.default_rng(seed))
    order = np.argsort(-values)
    left = left[:, order]
    return left * np.sign(left[np.abs(left).argmax(0), np.arange(n)]), values[order]


def similarity_correlation(
    first: Float64[np.ndarray, "pairs n"] | Numbers,
    second: Float64[np.ndarray, "pairs n"] | Numbers,
    judgements: Float64[np.ndarray, " pairs"] | Numbers,
) -> float:
    """Spearman's correlation of cosine similarity with human judgement.

    Args:
        first: vector of the first word of each pair; a zero vector counts as similarity 0.
        second: vector of the second word of each pair.
        judgements: one a pair.

    Returns:
        The correlation, in [−1, 1].

    Raises:
        ValueError: for fewer than three pairs, or unequal numbers of them.
    """
    first = array("first", first)
    second = array("second", second)
    judgements = array("judgements", judgements)
    if not len(first) == len(second) == len(judgements) >= 3:
        shapes = (first.shape, second.shape, judgements.shape)
        raise ValueError(
            f"first, second and judgements must hold as many pairs, at least 3; got shapes {shapes}"
        )
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(1) / np.where(norms > 0, norms, 1)
    return float(spearmanr(cosines, judgements).statistic)
