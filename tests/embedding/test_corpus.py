import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import entropy

from kexue.embedding import corpus

LINES = st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=6)


def tokens_of(lines):
    return corpus.encode([" ".join(map(str, line)) for line in lines], [str(i) for i in range(6)])


def by_hand(lines, window, decay):
    counts = np.zeros((6, 6))
    for line in lines:
        for i, word in enumerate(line):
            for j, other in enumerate(line):
                distance = abs(i - j)
                if 0 < distance <= window:
                    counts[word, other] += (window - distance + 1) / window if decay else 1
    return counts


@given(LINES, st.integers(1, 15), st.booleans())
def test_cooccurrences(lines, window, decay):
    counts = corpus.cooccurrences(tokens_of(lines), 6, window, decay=decay)
    np.testing.assert_allclose(counts.toarray(), by_hand(lines, window, decay), atol=1e-12)


def test_vocabulary_and_ids():
    lines = ["b a a <unk>", "", "c b a d"]
    words = corpus.build_vocabulary(lines, 3)
    assert words == ["a", "b", "c"]
    tokens = corpus.encode(lines, words)
    assert tokens.ids.tolist() == [1, 0, 0, 2, 1, 0]
    assert tokens.lines.tolist() == [0, 0, 0, 2, 2, 2]


@given(st.lists(st.text("abcde ", max_size=20), min_size=3), st.integers(2, 9))
def test_vocabulary_takes_the_most_frequent(lines, size):
    counts = Counter(" ".join(lines).split())
    if len(counts) < 2:
        with pytest.raises(ValueError, match="at least 2 distinct words"):
            corpus.build_vocabulary(lines, size)
        return
    words = corpus.build_vocabulary(lines, size)
    least = min(counts[word] for word in words)
    assert len(words) == min(size, len(counts))
    assert all(counts[other] <= least for other in counts.keys() - set(words))


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_entropy(cells):
    counts = csr_array(np.array(cells, dtype=float).reshape(2, 2))
    plain = corpus.pair_entropy(counts)
    seen = sum(cell > 0 for cell in cells)
    assert plain == pytest.approx(entropy(cells), abs=1e-12)
    assert corpus.miller_madow_entropy(counts) == pytest.approx(plain + (seen - 1) / (2 * sum(cells)))


def test_correction_removes_most_of_the_bias():
    source = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(200):
        counts = csr_array(
            np.bincount(source.integers(100, size=300), minlength=100).reshape(10, 10).astype(float)
        )
        plain.append(corpus.pair_entropy(counts))
        corrected.append(corpus.miller_madow_entropy(counts))
    assert abs(np.mean(corrected) - math.log(100)) < 0.2 * abs(np.mean(plain) - math.log(100))


def test_symmetric_counts_need_no_other_correction():
    one_side = np.triu(np.random.default_rng(1).integers(1, 9, size=(6, 6)), 1).astype(float)
    ordered = csr_array(one_side + one_side.T)
    unordered = csr_array(one_side)
    assert corpus.pair_entropy(ordered) == pytest.approx(corpus.pair_entropy(unordered) + math.log(2))
    gain = corpus.miller_madow_entropy(ordered) - corpus.pair_entropy(ordered)
    assert gain == pytest.approx(
        corpus.miller_madow_entropy(unordered) - corpus.pair_entropy(unordered), rel=0.05
    )


def test_refuses():
    tokens = tokens_of([[0, 1]])
    with pytest.raises(ValueError, match="vocabulary must be"):
        corpus.build_vocabulary(["a b"], 1)
    with pytest.raises(ValueError, match="window must be"):
        corpus.cooccurrences(tokens, 6, 0)
    with pytest.raises(ValueError, match="vocabulary must be"):
        corpus.cooccurrences(tokens, 1, 2)
    with pytest.raises(ValueError, match=r"ids must lie in \[0, 2\), got 0 to 5"):
        corpus.cooccurrences(tokens_of([[0, 5]]), 2, 2)
    for bad in ([0.0, 0.0], [1.0, -1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="counts must be finite, ≥ 0 and not all zero"):
            corpus.pair_entropy(csr_array(np.array([bad])))
