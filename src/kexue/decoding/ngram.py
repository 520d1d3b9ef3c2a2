"""Models with finitely many states: a Markov chain given by its rows, and an interpolated bigram."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from kexue.decoding.protocol import State


class Markov:
    """A first-order Markov language model, its next-token laws written out.

    Args:
        probabilities: ``p(v | u)``, shape (vocabulary, vocabulary); the row of ``<eos>`` is never used.
        eos: the index of ``<eos>``.

    Raises:
        ValueError: when a row other than that of ``<eos>`` is no distribution.
    """

    def __init__(self, probabilities: Float[Tensor, "vocabulary vocabulary"], eos: int) -> None:
        self.vocabulary, self.eos = probabilities.shape[0], eos
        used = torch.arange(self.vocabulary) != eos
        off = (probabilities[used].sum(dim=1) - 1.0).abs()
        if bool((probabilities[used] < 0).any()) or bool((off > 1e-5).any()):
            raise ValueError(
                f"probabilities has a row that sums to {float(1 + off.max())} or is negative, want distributions"
            )
        self.logits = probabilities.log()

    def rows(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p(· | token)`` for each token."""
        return self.logits[tokens]

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Nothing to remember: the last token says it all."""
        return ()

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The token's row."""
        return self.rows(token), state


class Bigram:
    """``p(v | u) = weight · count(u, v) / count(u) + (1 - weight) · count(v) / total``.

    Counts are sparse; a row is written out only when somebody asks for it, so the vocabulary may be a corpus's own.

    Args:
        sequences: encoded texts, ``<bos>`` first and ``<eos>`` last.
        vocabulary: number of tokens.
        eos: the index of ``<eos>``.
        weight: λ in (0, 1).

    Raises:
        ValueError: for a weight outside (0, 1).
    """

    def __init__(
        self, sequences: Sequence[Sequence[int]], vocabulary: int, eos: int, weight: float = 0.8
    ) -> None:
        if not 0.0 < weight < 1.0:
            raise ValueError(f"weight is {weight}, want a number inside (0, 1)")
        self.vocabulary, self.eos, self.weight = vocabulary, eos, weight
        before = np.concatenate([np.asarray(sequence[:-1]) for sequence in sequences])
        after = np.concatenate([np.asarray(sequence[1:]) for sequence in sequences])
        counts = sparse.coo_array(
            (np.ones(len(before)), (before, after)), shape=(vocabulary, vocabulary)
        ).tocsr()
        out = np.asarray(counts.sum(axis=1)).ravel()
        scale = np.divide(1.0, out, out=np.zeros_like(out), where=out > 0)
        self.conditional = sparse.diags_array(scale).tocsr() @ counts
        self.unigram = np.bincount(after, minlength=vocabulary) / len(after)
        self.seen = out > 0

    def rows(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p(· | token)`` for each token; a token never followed by another gets the unigram law."""
        chosen = tokens.cpu().numpy()
        weight = np.where(self.seen[chosen], self.weight, 0.0)[:, None]
        dense = weight * self.conditional[chosen].toarray() + (1.0 - weight) * self.unigram
        return torch.from_numpy(dense).float().log()

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Nothing to remember: the last token says it all."""
        return ()

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The token's row."""
        return self.rows(token), state
