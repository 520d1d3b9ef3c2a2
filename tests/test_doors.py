"""Natural inputs of the subjects that compute with tensors: taken, or refused with what to call instead."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array, csr_matrix

from kexue.decoding import decode, ngram, repetition
from kexue.decoding.rules import Greedy
from kexue.density import bounds, tails
from kexue.embedding import angles, corpus, skipgram, spectral
from kexue.transport import cost, exact, frechet
from kexue.transport.certified import certified_wasserstein
from kexue.transport.ctransform import c_transform

X, Y = np.random.default_rng(0).standard_normal((2, 5, 3))
LOG_W = np.random.default_rng(1).standard_normal((16, 4))
COUNTS = np.array([[0.0, 2.0, 1.0], [2.0, 4.0, 0.0], [1.0, 0.0, 6.0]])


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_transport_between_arrays(kind):
    x, y = X.astype(kind), Y.astype(kind)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    assert exact.wasserstein(x, y).value == exact.wasserstein(a, b).value
    assert torch.equal(exact.wasserstein_batch(x[None], y[None]), exact.wasserstein_batch([a], [b]))
    assert torch.equal(
        exact.wasserstein_batch([x, x[:2]], [y, y]), exact.wasserstein_batch([a, a[:2]], [b, b])
    )
    mass, costs = np.array([0.1, 0.2, 0.3, 0.2, 0.2]), cost.distances(a, b).numpy() ** 2
    found = exact.wasserstein(x, y, weights_x=mass, metric=costs, coupling=True)
    same = exact.wasserstein(a, b, weights_x=torch.from_numpy(mass), metric=torch.from_numpy(costs))
    assert found.value == same.value


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (X.tolist(), r"x must be a floating-point tensor, got a list: give torch.tensor\(x, dtype="),
        (X.astype(int), r"got a ndarray of int64: give torch.tensor\(x, dtype=torch.float64\)"),
        (torch.ones(5, 3, dtype=torch.int64), r"got a Tensor of torch.int64: give x.double\(\)"),
        (pd.DataFrame(X), r"got a DataFrame: give torch.tensor\(x.to_numpy\(\), dtype=torch.float64\)"),
    ],
)
def test_what_is_no_tensor_is_refused_with_what_to_call(given, said):
    for solve in (exact.wasserstein, certified_wasserstein, frechet.frechet_distance):
        with pytest.raises(TypeError, match=said):
            solve(given, torch.from_numpy(Y))


@pytest.mark.usefixtures("as_a_user")
def test_an_array_where_tensors_are_wanted_is_refused_with_what_to_call():
    y = torch.from_numpy(Y)
    with pytest.raises(TypeError, match=r"x must be .* got a ndarray of float64: give torch.from_numpy\(x\)"):
        certified_wasserstein(X, y)
    with pytest.raises(TypeError, match=r"give torch.from_numpy\(x\)"):
        c_transform(y[:, 0], X, y)


def test_bounds_of_arrays():
    log_w = torch.from_numpy(LOG_W)
    for bound in (
        bounds.importance_bound,
        bounds.evidence_lower_bound,
        bounds.jackknife_bound,
        bounds.effective_sample_size,
        bounds.nested_bounds,
        tails.pareto_shape,
    ):
        assert torch.equal(bound(LOG_W), bound(log_w))


@pytest.mark.usefixtures("as_a_user")
def test_bounds_of_lists_are_refused_with_what_to_call():
    with pytest.raises(TypeError, match=r"log_w must be .* got a list: give torch.tensor\(log_w"):
        bounds.importance_bound(LOG_W.tolist())


def test_counts_need_not_be_sparse():
    noise = skipgram.noise_distribution([3.0, 6.0, 7.0])
    embedding = skipgram.frequency_embedding([3, 6, 7], noise)
    for counts in (COUNTS, csr_matrix(COUNTS)):
        assert corpus.pair_entropy(counts) == corpus.pair_entropy(csr_array(COUNTS))
        assert corpus.miller_madow_entropy(counts) == corpus.miller_madow_entropy(csr_array(COUNTS))
        information = spectral.positive_mutual_information(counts).toarray()
        assert np.array_equal(information, spectral.positive_mutual_information(csr_array(COUNTS)).toarray())
        loss = skipgram.negative_sampling_loss(embedding, counts, noise)
        assert loss == skipgram.negative_sampling_loss(embedding, csr_array(COUNTS), noise)


def test_angles_and_similarities_of_lists():
    assert angles.angle_density(1.0, 5) == angles.angle_density(np.array([1.0]), 5)
    assert angles.cosine_distribution([0.0, 1], 5).tolist() == [0.5, 1.0]
    pairs = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 0], [1, 0]], [3, 2, 1]
    assert spectral.similarity_correlation(*pairs) == pytest.approx(1)
    assert repetition.repetition([[0.5, 0.5], [0.5, 0.5]]) == repetition.repetition(np.full((2, 2), 0.5))


@pytest.mark.usefixtures("as_a_user")
def test_tokens_and_contexts_are_refused_with_what_to_call():
    with pytest.raises(TypeError, match=r"tokens must be Tokens\(ids, lines\), as corpus.encode.* got list"):
        skipgram.train_skipgram([0, 1, 2], 3, 2, generator=torch.Generator())
    model = ngram.Markov(torch.full((3, 3), 1 / 3), 2)
    for context in ([[0, 1]], np.zeros((1, 2), int), torch.zeros(1, 2)):
        with pytest.raises(
            TypeError, match=r"context is a .*want a tensor of whole numbers.*torch.tensor\(context"
        ):
            decode.decode(model, context, Greedy(), 3)
