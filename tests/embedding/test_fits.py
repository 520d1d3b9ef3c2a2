import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from kexue.embedding import bilinear, spectral


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sphere", [True, False])
def test_divergence_is_that_of_the_vectors(sphere):
    target = bilinear.sparse_target(12, 3, generator=source())
    fit = bilinear.fit_bilinear(target, 4, generator=source(1), sphere=sphere, steps=30)
    model = (fit.centres @ fit.contexts.T).softmax(1)
    expected = (torch.special.xlogy(target, target) - target * model.log()).sum(1).mean()
    assert fit.divergence == pytest.approx(float(expected), abs=1e-5)
    if sphere:
        assert fit.centres.norm(dim=1) == pytest.approx([2.0] * 12)


def test_enough_dimensions_fit():
    identity = bilinear.identity_target(40)
    assert bilinear.fit_bilinear(identity, 3, generator=source()).divergence > 1
    assert bilinear.fit_bilinear(identity, 16, generator=source()).divergence < 0.05


def test_true_rank_fits_with_free_norms():
    target = bilinear.low_rank_target(40, 3, generator=source(2))
    below, at = (
        bilinear.fit_bilinear(target, n, generator=source(), sphere=False).divergence for n in (1, 3)
    )
    assert below > 0.1
    assert at < 0.01


@given(st.integers(2, 20), st.integers(0, 99))
def test_targets_are_distributions(count, seed):
    for target in (
        bilinear.identity_target(count),
        bilinear.sparse_target(count, 2, generator=source(seed)),
        bilinear.low_rank_target(count, 3, generator=source(seed)),
        bilinear.full_rank_target(count, generator=source(seed)),
    ):
        assert target.shape == (count, count)
        assert target.sum(1) == pytest.approx([1.0] * count, abs=1e-5)
    assert ((bilinear.sparse_target(count, 2, generator=source(seed)) > 0).sum(1) == 2).all()


def test_logits_have_the_spread_asked_for():
    for target in (
        bilinear.low_rank_target(300, 10, 2.0, generator=source(3)),
        bilinear.full_rank_target(300, 2.0, generator=source(3)),
    ):
        logits = target.log()
        assert float((logits - logits.mean(1, keepdim=True)).std()) == pytest.approx(2.0, rel=0.1)


@given(st.lists(st.integers(1, 99), min_size=1, unique=True).map(sorted), st.data())
def test_elbow(grid, data):
    first = data.draw(st.sampled_from(grid))
    assert bilinear.elbow(lambda n: 0.05 if n >= first else 0.5, grid) == first


def test_elbow_asks_few_questions():
    asked = []
    bilinear.elbow(lambda n: asked.append(n) or (0.0 if n > 700 else 1.0), range(1_000))
    assert len(asked) <= 11


@given(st.integers(5, 30), st.integers(0, 99))
def test_truncated_svd(size, seed):
    matrix = csr_array(random_array((size, size), density=0.5, rng=np.random.default_rng(seed)))
    left, values = spectral.truncated_svd(matrix, 3, seed=0)
    exact_left, exact, _ = np.linalg.svd(matrix.toarray())
    assert values == pytest.approx(exact[:3], abs=1e-8)
    assert left.T @ left == pytest.approx(np.eye(3), abs=1e-8)
    if min(-np.diff(exact[:4])) > 1e-3:
        assert np.abs((left * exact_left[:, :3]).sum(0)) == pytest.approx(np.ones(3), abs=1e-6)


def test_mutual_information_by_hand():
    counts = np.array([[4.0, 1.0], [0.0, 5.0]])
    found = spectral.positive_mutual_information(csr_array(counts), power=1.0).toarray()
    p = counts / 10
    with np.errstate(divide="ignore"):
        expected = np.maximum(0, np.log(p / (p.sum(1, keepdims=True) * p.sum(0))))
    assert found == pytest.approx(expected)
    shifted = spectral.positive_mutual_information(csr_array(counts), power=1.0, shift=1.5).toarray()
    with np.errstate(divide="ignore"):
        expected = np.maximum(0, np.log(p / (p.sum(1, keepdims=True) * p.sum(0))) - math.log(1.5))
    assert shifted == pytest.approx(expected)


def test_independent_words_share_nothing():
    counts = csr_array(np.outer([1.0, 2.0, 3.0], [2.0, 2.0, 1.0]))
    assert np.abs(spectral.positive_mutual_information(counts, power=1.0).toarray()).max() < 1e-12


def test_similarity_correlation():
    angle = np.linspace(0, 3, 8)
    first = np.tile([1.0, 0.0], (8, 1))
    second = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.arange(1.0, 9.0)[:, None]
    assert spectral.similarity_correlation(first, second, -angle) == pytest.approx(1)
    assert spectral.similarity_correlation(first, second, angle) == pytest.approx(-1)


def test_refuses():
    identity = bilinear.identity_target(4)
    with pytest.raises(ValueError, match="rows of probabilities"):
        bilinear.fit_bilinear(2 * identity, 2, generator=source())
    with pytest.raises(ValueError, match="n must be"):
        bilinear.fit_bilinear(identity, 0, generator=source())
    with pytest.raises(ValueError, match="steps must be"):
        bilinear.fit_bilinear(identity, 2, generator=source(), steps=0)
    with pytest.raises(ValueError, match=r"neighbours must lie in \[1, 4\], got 5"):
        bilinear.sparse_target(4, 5, generator=source())
    with pytest.raises(ValueError, match="vocabulary must be"):
        bilinear.identity_target(1)
    with pytest.raises(ValueError, match="rank must be"):
        bilinear.low_rank_target(4, 0, generator=source())
    with pytest.raises(ValueError, match="spread must be"):
        bilinear.full_rank_target(4, 0.0, generator=source())
    with pytest.raises(ValueError, match=r"stays ≥ 0\.1 up to n = 3"):
        bilinear.elbow(lambda n: 1.0, [2, 3])
    with pytest.raises(ValueError, match="rising grid"):
        bilinear.elbow(lambda n: 1.0, [3, 2])
    with pytest.raises(ValueError, match=r"divergence must return one number of nats for n = 3, got array"):
        bilinear.elbow(lambda n: np.array([1.0, 0.0]), [2, 3])
    matrix = csr_array(np.eye(5))
    with pytest.raises(ValueError, match=r"n must lie in \[2, 4\], got 5"):
        spectral.truncated_svd(matrix, 5, seed=0)
    with pytest.raises(ValueError, match="counts must not be all zero"):
        spectral.positive_mutual_information(csr_array((3, 3)))
    with pytest.raises(ValueError, match="shift must be"):
        spectral.positive_mutual_information(matrix, shift=0.5)
    with pytest.raises(ValueError, match="at least 3"):
        spectral.similarity_correlation(np.ones((2, 3)), np.ones((2, 3)), np.ones(2))
