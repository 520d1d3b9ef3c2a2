"""How much a first-order decoder repeats itself, in closed form."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from kexue.arrays import Numbers, array


def repetition(transition: Float64[np.ndarray, "words words"] | Numbers) -> float:
    """The summed probability of saying something and saying the very same again at once.

    A closed path ``i → … → i`` of k steps is walked twice in a row with the square of its probability. Summed over all
    paths, starts and lengths: ``R = sum_k Tr (P∘P)^k = Tr [M (I - M)^-1]``, ``M = P∘P`` the entrywise square.

    Args:
        transition: ``P``, sub-stochastic rows over the words; the rest of a row is ``<eos>``.

    Returns:
        R; infinite when the spectral radius of ``P∘P`` reaches 1 (a loop that is certain).

    Raises:
        ValueError: for a matrix that is not square and sub-stochastic.

    Source: kexue.fm/archives/8128, after Fu et al., AAAI 2021.
    """
    transition = array("transition", transition)
    matrix = np.asarray(transition, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"transition has shape {matrix.shape}, want a square matrix")
    if (matrix < 0).any() or (matrix.sum(axis=1) > 1 + 1e-6).any():
        raise ValueError(
            f"transition has entries down to {matrix.min()} and row sums up to {matrix.sum(axis=1).max()}, "
            "want a sub-stochastic matrix"
        )
    square = matrix**2
    if np.abs(np.linalg.eigvals(square)).max() >= 1.0 - 1e-12:
        return float("inf")
    return float(np.trace(np.linalg.solve(np.eye(len(square)) - square, square)))


class ReturnPowers(NamedTuple):
    """Two sums over k and i that are not ``repetition``: ``(P^2k)_ii``, and ``(P^k)_ii`` squared."""

    of_doubled: float
    squared: float


def return_powers(
    transition: Float64[np.ndarray, "words words"] | Numbers, longest: int = 200
) -> ReturnPowers:
    """What the paper summed, and what the blog says it should have, over k = 1 … ``longest``.

    ``(P^2k)_ii`` is the chance of being back after 2k steps; being back after k and again after 2k has the chance
    ``(P^k)_ii^2``, never larger.

    Args:
        transition: ``P``.
        longest: largest k.

    Returns:
        The two sums.

    Source: kexue.fm/archives/8128, on Fu et al., AAAI 2021.
    """
    transition = array("transition", transition)
    doubled = squared = 0.0
    power = np.eye(len(transition))
    for _ in range(longest):
        power = power @ transition
        doubled += float(np.trace(power @ power))
        squared += float((np.diag(power) ** 2).sum())
    return ReturnPowers(doubled, squared)


def repetition_by_paths(transition: Float64[np.ndarray, "words words"] | Numbers, longest: int) -> float:
    """The same sum by walking every closed path of at most ``longest`` steps: the definition, for small matrices.

    Args:
        transition: ``P``.
        longest: largest k; the number of paths is ``words ** (k + 1)``.

    Returns:
        The sum over k = 1 … ``longest``.
    """
    transition = array("transition", transition)
    words, total = len(transition), 0.0
    for start in range(words):
        ends: dict[tuple[int, ...], float] = {(start,): 1.0}
        for _ in range(longest):
            ends = {
                (*path, word): chance * transition[path[-1], word]
                for path, chance in ends.items()
                for word in range(words)
                if transition[path[-1], word] > 0
            }
            total += sum(chance**2 for path, chance in ends.items() if path[-1] == start)
    return float(total)
