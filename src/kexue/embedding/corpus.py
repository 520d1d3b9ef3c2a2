"""From text to pair counts, vectorised: vocabulary, ids, co-occurrences within a window, their entropy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array, csr_array

from kexue.arrays import Numbers
from kexue.embedding import _checks


class Tokens(NamedTuple):
    """A text as word ids; words outside the vocabulary are dropped before any window is laid, as in word2vec.

    `ids`: positions in the vocabulary. `lines`: the line each token came from; no window crosses a line.
    """

    ids: Int64[np.ndarray, " tokens"]
    lines: Int64[np.ndarray, " tokens"]


def build_vocabulary(lines: Iterable[str], size: int) -> list[str]:
    """The most frequent words, most frequent first (ties in alphabetical order), `<unk>` excluded.

    Args:
        lines: text, words separated by blanks.
        size: number of words wanted, ≥ 2.

    Returns:
        At most `size` words.

    Raises:
        ValueError: for size < 2, or a text of fewer than two distinct words.
    """
    _checks.vocabulary(size)
    counts = Counter(word for line in lines for word in line.split())
    counts.pop("<unk>", None)
    if len(counts) < 2:
        raise ValueError(f"lines must hold at least 2 distinct words, got {len(counts)}")
    return sorted(counts, key=lambda word: (-counts[word], word))[:size]


def encode(lines: Iterable[str], words: Sequence[str]) -> Tokens:
    """The text as ids, words outside the vocabulary dropped.

    Args:
        lines: text, words separated by blanks.
        words: the vocabulary; a word's id is its position.

    Returns:
        The tokens and the line each came from.
    """
    index = {word: i for i, word in enumerate(words)}
    encoded = [[index[word] for word in line.split() if word in index] for line in lines]
    lengths = [len(line) for line in encoded]
    ids = np.fromiter((i for line in encoded for i in line), dtype=np.int64, count=sum(lengths))
    return Tokens(ids, np.repeat(np.arange(len(encoded), dtype=np.int64), lengths))


def cooccurrences(tokens: Tokens, size: int, window: int, *, decay: bool = False) -> csr_array:
    """Counts C_ij of ordered pairs: word j at most `window` places from word i, on either side, in one line.

    Args:
        tokens: ids in [0, size) and their lines.
        size: number of words N ≥ 2.
        window: places on each side, ≥ 1.
        decay: weight a pair d places apart by (window − d + 1)/window, the mean of word2vec's windows.

    Returns:
        Symmetric sparse matrix (N, N) of float64; integers unless `decay`.

    Raises:
        ValueError: for N < 2, window < 1, or an id out of range.
    """
    _checks.vocabulary(size)
    _checks.real("window", window, at_least=1)
    ids, lines = tokens
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise ValueError(f"ids must lie in [0, {size}), got {ids.min()} to {ids.max()}")
    total = csr_array((size, size), dtype=np.float64)
    for distance in range(1, window + 1):
        same_line = lines[:-distance] == lines[distance:]
        left, right = ids[:-distance][same_line], ids[distance:][same_line]
        weight = np.full(left.size, (window - distance + 1) / window if decay else 1.0)
        total = (
            total + coo_array((weight, (left, right)), shape=(size, size)).tocsr()
        )  # tocsr sums the repeats
    return csr_array(total + total.T)


def pair_entropy(counts: csr_array | Numbers) -> float:
    """Plug-in entropy −Σ p̃ log p̃ of the pair distribution p̃ = C/ΣC, in nats.

    Args:
        counts: non-negative, not all zero; sparse or not.

    Returns:
        The entropy; it underestimates, by about (pairs seen − 1)/2(observations).

    Raises:
        ValueError: when a count is negative or not finite, or all are zero.

    Source: kexue.fm/archives/7695, the corpus's H̃.
    """
    values = _positive_counts(counts)
    shares = values / values.sum()
    return float(-(shares * np.log(shares)).sum())


def miller_madow_entropy(counts: csr_array | Numbers) -> float:
    """Plug-in entropy plus Miller and Madow's correction (pairs seen − 1)/2(observations), in nats.

    A first-order correction: still low where most pairs were never seen.

    Args:
        counts: integer counts. Symmetric ones are right as they are: they hold each observation twice,
            and each free cell twice.

    Returns:
        The corrected entropy.

    Raises:
        ValueError: when a count is negative or not finite, or all are zero.

    Source: Miller 1955.
    """
    values = _positive_counts(counts)
    return pair_entropy(counts) + (values.size - 1) / (2 * float(values.sum()))


def _positive_counts(counts: csr_array | Numbers) -> Float64[np.ndarray, " seen"]:
    held = csr_array(counts).data
    values = held[held != 0]
    if not values.size or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("counts must be finite, ≥ 0 and not all zero")
    return np.asarray(values, dtype=np.float64)
