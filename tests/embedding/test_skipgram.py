import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn.functional import logsigmoid

from kexue.embedding import corpus, skipgram
from kexue.embedding.corpus import Tokens

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def two_topics(lines=300, seed=0):
    """Words 0–4 keep company with each other, and so do words 5–9."""
    source = np.random.default_rng(seed)
    ids = source.integers(5, size=(lines, 12)) + 5 * source.integers(2, size=(lines, 1))
    return Tokens(ids.ravel(), np.repeat(np.arange(lines), 12))


@pytest.mark.parametrize("device", DEVICES)
def test_training_learns_who_keeps_company(device):
    source = torch.Generator(device).manual_seed(0)
    tokens = two_topics()
    model = skipgram.train_skipgram(
        tokens, 10, 8, generator=source, window=3, epochs=20, subsample=1.0, batch=128
    )
    logits = (model.centres @ model.contexts.T).cpu()
    assert float(logits[:5, :5].mean()) > float(logits[:5, 5:].mean()) + 1
    counts = corpus.cooccurrences(tokens, 10, 3, decay=True)
    noise = skipgram.noise_distribution(np.bincount(tokens.ids) / len(tokens.ids))
    assert skipgram.negative_sampling_loss(model, counts, noise) < 6 * math.log(2) - 0.5


def test_same_seed_same_vectors():
    first, second = (
        skipgram.train_skipgram(two_topics(30), 10, 4, generator=torch.Generator().manual_seed(5), epochs=1)
        for _ in range(2)
    )
    assert torch.equal(first.centres, second.centres)


def spans_of(ids, lines, window):
    return skipgram._spans(
        torch.tensor(ids), torch.tensor(lines), window, 10**6, torch.Generator().manual_seed(0)
    )[0]


@pytest.mark.parametrize("window", [1, 3, 7])
def test_spans_hold_every_pair_once(window):
    tokens = two_topics(7, seed=3)
    part = spans_of(tokens.ids.tolist(), tokens.lines.tolist(), window)
    found = np.zeros((10, 10))
    rows = part.centres[:, :, None].expand_as(part.weights)
    columns = part.contexts[:, None, :].expand_as(part.weights)
    np.add.at(found, (rows.numpy(), columns.numpy()), part.weights.numpy())
    expected = corpus.cooccurrences(tokens, 10, window, decay=True).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_step_follows_the_gradient():
    """The gradient of a step is that of the loss it says it lowers, with the batch's own noise words."""
    tokens, window, negatives = two_topics(6), 3, 5
    part = spans_of(tokens.ids.tolist(), tokens.lines.tolist(), window)
    source = torch.Generator().manual_seed(1)
    u, v = (torch.randn(10, 4, generator=source) for _ in range(2))
    drawn = torch.tensor([1, 7, 7, 3])

    left, right = u.clone().requires_grad_(), v.clone().requires_grad_()
    logits = torch.einsum("bin,bjn->bij", left[part.centres], right[part.contexts])
    noise = torch.einsum("bin,kn->bik", left[part.centres], right[drawn])
    loss = -(part.weights * logsigmoid(logits)).sum()
    loss = loss - negatives * (part.weights.sum(2) * logsigmoid(-noise).mean(2)).sum()
    gradient_u, gradient_v = torch.autograd.grad(loss, (left, right))

    squares = torch.zeros(2, 10, 1)
    moved_u, moved_v = u.clone(), v.clone()
    skipgram._step(moved_u, moved_v, squares, part, drawn, negatives, 0.1)
    for moved, start, gradient, accumulated in (
        (moved_u, u, gradient_u, squares[0]),
        (moved_v, v, gradient_v, squares[1]),
    ):
        torch.testing.assert_close(accumulated, gradient.square().mean(1, keepdim=True), rtol=1e-4, atol=1e-6)
        expected = start - 0.1 * gradient / accumulated.clamp(min=1e-10).sqrt()
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)


def test_loss_by_hand():
    source = torch.Generator().manual_seed(2)
    model = skipgram.Embedding(*(torch.randn(7, 3, generator=source, dtype=torch.float64) for _ in range(2)))
    counts = np.random.default_rng(0).integers(3, size=(7, 7)).astype(float)
    noise = skipgram.noise_distribution(np.arange(1.0, 8.0))
    s = (model.centres @ model.contexts.T).numpy()

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x))

    per_pair = -log_sigmoid(s) - 4 * (log_sigmoid(-s) @ noise)[:, None]
    expected = (counts * per_pair).sum() / counts.sum()
    for rows in (1, 3, 512):
        found = skipgram.negative_sampling_loss(model, csr_array(counts), noise, 4, rows=rows)
        assert found == pytest.approx(expected)


def test_zero_vectors_cost_log_two_a_decision():
    zero = torch.zeros(4, 2)
    loss = skipgram.negative_sampling_loss(
        skipgram.Embedding(zero, zero), csr_array(np.ones((4, 4))), np.full(4, 0.25), 5
    )
    assert loss == pytest.approx(6 * math.log(2))


def test_noise():
    noise = skipgram.noise_distribution(np.array([16.0, 1.0, 0.0]))
    assert noise == pytest.approx([8 / 9, 1 / 9, 0])


def test_refuses():
    tokens, source = two_topics(30), torch.Generator()
    with pytest.raises(ValueError, match="n must be"):
        skipgram.train_skipgram(tokens, 10, 1, generator=source)
    with pytest.raises(ValueError, match="vocabulary must be"):
        skipgram.train_skipgram(tokens, 1, 4, generator=source)
    with pytest.raises(ValueError, match=r"tokens must hold ids in \[0, 5\)"):
        skipgram.train_skipgram(tokens, 5, 4, generator=source)
    for name in ("window", "negatives", "epochs", "batch", "pool"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number ≥ 1, got 0"):
            skipgram.train_skipgram(tokens, 10, 4, generator=source, **{name: 0})
    for name in ("learning_rate", "subsample"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number > 0"):
            skipgram.train_skipgram(tokens, 10, 4, generator=source, **{name: math.nan})
    with pytest.raises(ValueError, match="frequencies must be"):
        skipgram.noise_distribution(np.array([-1.0, 2.0]))
    zero = skipgram.Embedding(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="counts must not be all zero"):
        skipgram.negative_sampling_loss(zero, csr_array((2, 2)), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="negatives must be"):
        skipgram.negative_sampling_loss(zero, csr_array(np.eye(2)), np.array([0.5, 0.5]), 0)


def test_frequency_alone_is_the_best_that_ignores_the_centre_word():
    counts = csr_array(np.array([[2.0, 1.0, 0.0], [3.0, 2.0, 4.0], [1.0, 0.0, 5.0]]))
    p = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
    noise = skipgram.noise_distribution(p)
    best = skipgram.frequency_embedding(p, noise)
    least = skipgram.negative_sampling_loss(best, counts, noise)
    for word in range(3):
        for step in (0.1, -0.1):
            moved = best.contexts.clone()
            moved[word] += step
            assert (
                skipgram.negative_sampling_loss(skipgram.Embedding(best.centres, moved), counts, noise)
                > least
            )
    assert float(skipgram.frequency_embedding(np.array([0.0, 1.0]), np.array([0.0, 1.0])).contexts[0]) == 0


def test_frequencies_are_refused_by_name():
    for p, noise, message in (
        ([1.5, -0.5], [0.5, 0.5], "≥ 0"),
        ([0.5, 0.5], [1.0, 0.0], "noise"),
    ):
        with pytest.raises(ValueError, match=message):
            skipgram.frequency_embedding(np.array(p), np.array(noise))
    with pytest.raises(ValueError, match="negatives"):
        skipgram.frequency_embedding(np.array([1.0]), np.array([1.0]), 0)
