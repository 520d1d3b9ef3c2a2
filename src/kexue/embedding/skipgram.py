"""Skip-gram with negative sampling, as dense linear algebra.

The objective is word2vec's: for each pair (centre i, context j) of the corpus, log σ(⟨u_i, v_j⟩) plus K times
the mean of log σ(−⟨u_i, v_k⟩) over noise words k. What differs is the order of the work:

* a run of `_SPAN` consecutive tokens meets all its contexts in one banded product (window shrinking enters as
  its mean weight, not as a draw), so a context vector is read once, not once a pair;
* the noise words are drawn once a batch and shared by its centres, with weight K · (pairs of the
  centre)/(pool): the same mean, far fewer rows to read;
* steps are Adagrad's with one accumulator a row, so a batch may hold a frequent word a hundred times.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from kexue.arrays import Numbers, array
from kexue.embedding import _checks
from kexue.embedding.corpus import Tokens
from kexue.progress import progress

_SPAN = 16  # tokens that share one banded product: (16 + 2·window)-wide, wide enough for a matrix unit


class Embedding(NamedTuple):
    """Centre vectors u and context vectors v, shape (N, n) each."""

    centres: Float[Tensor, "words n"]
    contexts: Float[Tensor, "words n"]


def noise_distribution(
    frequencies: Float64[np.ndarray, " words"] | Numbers, power: float = 0.75
) -> Float64[np.ndarray, " words"]:
    """word2vec's noise, P(j) ∝ frequency^power.

    Args:
        frequencies: ≥ 0, not all zero.
        power: exponent; 0.75 in word2vec.

    Returns:
        Probabilities.

    Raises:
        ValueError: when a frequency is negative, or all are zero.
    """
    frequencies = array("frequencies", frequencies)
    if not (frequencies >= 0).all() or not frequencies.any():
        raise ValueError("frequencies must be ≥ 0 and not all zero")
    weights = frequencies**power
    return np.asarray(weights / weights.sum())


def frequency_embedding(
    frequencies: Float64[np.ndarray, " words"] | Numbers,
    noise: Float64[np.ndarray, " words"] | Numbers,
    negatives: int = 5,
) -> Embedding:
    """What word frequency alone can do: s_ij = log(p_j / (K P(j))) whatever the centre word i, in one dimension.

    Of all logits that do not depend on i it has the least negative-sampling loss, where p is the law of the contexts.

    Args:
        frequencies: p, shape (N,), ≥ 0; a word that never occurs gets the logit 0.
        noise: P, shape (N,), positive where p is.
        negatives: K ≥ 1.

    Returns:
        Centre vectors of ones and context vectors s, shape (N, 1), float64.

    Raises:
        ValueError: for shapes that differ, negative frequencies, noise that is 0 where p is not, or K < 1.

    Source: derived as Levy & Goldberg (2014) derive theirs, one logit a context in place of one a pair.
    """
    frequencies = array("frequencies", frequencies)
    noise = array("noise", noise)
    _checks.real("negatives", negatives, at_least=1)
    if frequencies.shape != noise.shape or frequencies.ndim != 1:
        raise ValueError(
            f"frequencies and noise must have one shape (words,), got {frequencies.shape} and {noise.shape}"
        )
    known = frequencies > 0
    if (frequencies < 0).any() or not (noise[known] > 0).all():
        raise ValueError("frequencies must be ≥ 0, and noise positive wherever they are")
    logits = np.zeros((len(frequencies), 1))
    logits[known, 0] = np.log(frequencies[known] / (negatives * noise[known]))
    return Embedding(torch.ones(len(logits), 1, dtype=torch.float64), torch.from_numpy(logits))


def train_skipgram(
    tokens: Tokens,
    vocabulary: int,
    n: int,
    *,
    generator: torch.Generator,
    window: int = 5,
    negatives: int = 5,
    epochs: int = 5,
    learning_rate: float = 0.5,
    subsample: float = 1e-3,
    batch: int = 1024,
    pool: int = 256,
) -> Embedding:
    """Fit centre and context vectors by skip-gram with negative sampling.

    Args:
        tokens: ids in [0, N) and the line of each.
        vocabulary: number of words N ≥ 2.
        n: dimension ≥ 2.
        generator: source of randomness; its device does the work.
        window: largest distance of a pair, ≥ 1; nearer pairs weigh more, (window − d + 1)/window.
        negatives: noise words a pair, K ≥ 1.
        epochs: passes over the tokens, ≥ 1.
        learning_rate: Adagrad's first step, falling linearly to a tenth.
        subsample: word2vec's threshold t; a word of frequency f is kept with probability √(t/f) + t/f, or 1.
        batch: tokens a step.
        pool: noise words drawn a step.

    Returns:
        The embedding, float32, on the generator's device.

    Raises:
        ValueError: for a size out of range, an id out of range, or no token.

    Source: Mikolov et al. 2013, arXiv 1310.4546, eq. 4.
    """
    if not isinstance(tokens, Tokens):
        raise TypeError(
            f"tokens must be Tokens(ids, lines), as corpus.encode(lines, words) gives, got {type(tokens).__name__}"
        )
    _checks.vocabulary(vocabulary)
    _checks.dimension(n)
    for name, value in (
        ("window", window),
        ("negatives", negatives),
        ("epochs", epochs),
        ("batch", batch),
        ("pool", pool),
    ):
        _checks.real(name, value, at_least=1)
    _checks.real("learning_rate", learning_rate, above=0)
    _checks.real("subsample", subsample, above=0)
    if not tokens.ids.size or tokens.ids.min() < 0 or tokens.ids.max() >= vocabulary:
        raise ValueError(f"tokens must hold ids in [0, {vocabulary}), got {tokens.ids.size} of them")
    device = generator.device
    ids, lines = (torch.as_tensor(x, device=device) for x in tokens)
    frequencies = torch.bincount(ids, minlength=vocabulary).double() / len(ids)
    noise = torch.as_tensor(noise_distribution(frequencies.cpu().numpy()), device=device)
    relative = subsample / frequencies.clamp(min=1e-12)
    keep = (relative.sqrt() + relative).clamp(max=1)[ids]

    centres = (torch.rand(vocabulary, n, generator=generator, device=device) - 0.5) / n
    contexts = torch.zeros(vocabulary, n, device=device)
    squares = torch.zeros(2, vocabulary, 1, device=device)
    step, steps = 0, epochs * math.ceil(float(keep.sum()) / batch)
    for _ in progress(range(epochs), "skip-gram"):
        kept = torch.rand(len(ids), generator=generator, device=device, dtype=torch.float64) < keep
        for part in _spans(ids[kept], lines[kept], window, batch, generator):
            rate = learning_rate * max(0.1, 1 - 0.9 * step / steps)
            drawn = torch.multinomial(noise, pool, replacement=True, generator=generator)
            _step(centres, contexts, squares, part, drawn, negatives, rate)
            step += 1
    return Embedding(centres, contexts)


class _Spans(NamedTuple):
    """Runs of consecutive tokens with their contexts and the weight of each pair."""

    centres: Int64[Tensor, "spans span"]
    contexts: Int64[Tensor, "spans reach"]
    weights: Float[Tensor, "spans span reach"]


def _spans(
    ids: Int64[Tensor, " tokens"],
    lines: Int64[Tensor, " tokens"],
    window: int,
    batch: int,
    generator: torch.Generator,
) -> list[_Spans]:
    """The tokens in runs of _SPAN, shuffled, in batches."""
    count = math.ceil(len(ids) / _SPAN)
    if not count:  # subsampling may have dropped every token of a small text
        return []
    tail = count * _SPAN - len(ids)
    reach = _SPAN + 2 * window
    around = pad(ids, (window, window + tail)).unfold(0, reach, _SPAN)
    around_lines = pad(lines, (window, window + tail), value=-1).unfold(0, reach, _SPAN)
    distance = (
        torch.arange(reach, device=ids.device) - torch.arange(_SPAN, device=ids.device)[:, None] - window
    ).abs()
    band = ((window + 1 - distance) / window).clamp(min=0) * (distance > 0)
    order = torch.randperm(count, generator=generator, device=ids.device)
    parts = []
    for start in range(0, count, step := max(1, batch // _SPAN)):
        chosen = order[start : start + step]
        own = around_lines[chosen, window : window + _SPAN]
        same_line = (own[:, :, None] == around_lines[chosen][:, None, :]) & (own[:, :, None] >= 0)
        parts.append(_Spans(around[chosen, window : window + _SPAN], around[chosen], band * same_line))
    return parts


def _step(
    centres: Float[Tensor, "words n"],
    contexts: Float[Tensor, "words n"],
    squares: Float[Tensor, "2 words 1"],
    part: _Spans,
    drawn: Int64[Tensor, " pool"],
    negatives: int,
    rate: float,
) -> None:
    """One Adagrad step, in place, on the rows the batch touches."""
    u, v, noise = centres[part.centres], contexts[part.contexts], contexts[drawn]
    positive = (torch.bmm(u, v.transpose(1, 2)).sigmoid_() - 1) * part.weights
    flat = u.flatten(0, 1)
    share = part.weights.sum(2).view(-1, 1) * (negatives / len(drawn))
    negative = (flat @ noise.T).sigmoid_() * share
    gradient_u = torch.bmm(positive, v).flatten(0, 1) + negative @ noise
    gradient_v = torch.cat((torch.bmm(positive.transpose(1, 2), u).flatten(0, 1), negative.T @ flat))
    rows_v = torch.cat((part.contexts.flatten(), drawn))
    _adagrad(centres, squares[0], part.centres.flatten(), gradient_u, rate)
    _adagrad(contexts, squares[1], rows_v, gradient_v, rate)


def _adagrad(
    vectors: Float[Tensor, "words n"],
    squares: Float[Tensor, "words 1"],
    rows: Int64[Tensor, " touched"],
    gradients: Float[Tensor, "touched n"],
    rate: float,
) -> None:
    """Row-wise Adagrad: a row's step is rate · g / √(accumulated mean square of g)."""
    unique, inverse = torch.unique(rows, return_inverse=True)
    summed = torch.zeros(len(unique), vectors.shape[1], device=vectors.device).index_add_(
        0, inverse, gradients
    )
    squares.index_add_(0, unique, summed.square().mean(1, keepdim=True))
    vectors.index_add_(0, unique, summed / (squares[unique] + 1e-10).sqrt(), alpha=-rate)


def negative_sampling_loss(
    embedding: Embedding,
    counts: csr_array | Numbers,
    noise: Float64[np.ndarray, " words"] | Numbers,
    negatives: int = 5,
    *,
    rows: int = 512,
) -> float:
    """Mean negative-sampling loss a pair, with the noise summed exactly instead of drawn.

    L = −Σ_ij C_ij [log σ(s_ij) + K Σ_k P(k) log σ(−s_ik)] / Σ_ij C_ij; all vectors zero give (K + 1) log 2.

    Args:
        embedding: centre and context vectors.
        counts: pair counts C, shape (N, N), training or held-out; sparse or not.
        noise: P, shape (N,).
        negatives: K ≥ 1.
        rows: rows of logits held at a time.

    Returns:
        The loss in nats a pair.

    Raises:
        ValueError: for K < 1, or counts that are all zero.

    Source: Mikolov et al. 2013, eq. 4, in expectation.
    """
    noise = array("noise", noise)
    _checks.real("negatives", negatives, at_least=1)
    counts = csr_array(counts)
    total = float(counts.sum())
    if not total > 0:
        raise ValueError("counts must not be all zero")
    device = embedding.centres.device
    probability = torch.as_tensor(noise, device=device, dtype=embedding.centres.dtype)
    loss = 0.0
    for start in range(0, counts.shape[0], rows):
        logits = embedding.centres[start : start + rows] @ embedding.contexts.T
        part = counts[start : start + rows].tocoo()
        pairs = logits[
            torch.as_tensor(part.row, device=device).long(), torch.as_tensor(part.col, device=device).long()
        ]
        weights = torch.as_tensor(part.data, device=device)
        loss -= float((weights * logsigmoid(pairs).double()).sum())
        pairs_a_row = torch.as_tensor(counts[start : start + rows].sum(1), device=device).flatten()
        loss -= negatives * float((pairs_a_row * (logsigmoid(-logits) @ probability).double()).sum())
    return loss / total
