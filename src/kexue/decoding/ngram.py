"""Models with finitely many states: a Markov chain given by its rows, and an interpolated n-gram."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from kexue.decoding.protocol import State


class FiniteModel:
    """A language model whose state is its last ``memory`` words.

    Args:
        vocabulary: number of tokens.
        eos: the index of ``<eos>``.
        memory: words remembered, at least one.
    """

    def __init__(self, vocabulary: int, eos: int, memory: int) -> None:
        self.vocabulary, self.eos, self.memory = vocabulary, eos, memory

    def rows(self, histories: Int[Tensor, "batch memory"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p(· | history)`` for each history, its last word last."""
        raise NotImplementedError

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """The last words of the prefix, one fewer than are remembered.

        Raises:
            ValueError: for a context shorter than the memory.
        """
        if prefix.shape[1] < self.memory - 1:
            raise ValueError(
                f"context has {prefix.shape[1] + 1} tokens, want at least the {self.memory} that are remembered"
            )
        return (prefix[:, prefix.shape[1] - self.memory + 1 :],)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The row of the history that ends in ``token``."""
        history = torch.cat([state[0], token[:, None]], dim=1)
        return self.rows(history), (history[:, 1:],)


class Markov(FiniteModel):
    """A first-order Markov language model, its next-token laws written out.

    Args:
        probabilities: ``p(v | u)``, shape (vocabulary, vocabulary); the row of ``<eos>`` is never used.
        eos: the index of ``<eos>``.

    Raises:
        ValueError: when a row other than that of ``<eos>`` is no distribution.
    """

    def __init__(self, probabilities: Float[Tensor, "vocabulary vocabulary"], eos: int) -> None:
        super().__init__(probabilities.shape[0], eos, 1)
        used = torch.arange(self.vocabulary) != eos
        off = (probabilities[used].sum(dim=1) - 1.0).abs()
        if bool((probabilities[used] < 0).any()) or bool((off > 1e-5).any()):
            raise ValueError(
                f"probabilities has a row that sums to {float(1 + off.max())} or is negative, want distributions"
            )
        self.logits = probabilities.log()

    def rows(self, histories: Int[Tensor, "batch memory"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p(· | token)`` for each token."""
        return self.logits[histories[:, -1]]


class Ngram(FiniteModel):
    """An interpolated n-gram: ``p_n(v | h) = weight · count(h, v) / count(h) + (1 - weight) · p_{n-1}(v | h)``.

    ``h`` are the last n − 1 words, ``p_1`` the share of each token; a history that was never continued has
    ``p_n = p_{n-1}``. Counts are sparse; a row is written out only when somebody asks for it, so the vocabulary may be
    a corpus's own.

    Args:
        sequences: encoded texts, ``<bos>`` first and ``<eos>`` last.
        vocabulary: number of tokens.
        eos: the index of ``<eos>``.
        order: n; 2 is a bigram.
        weight: λ in (0, 1).

    Raises:
        ValueError: for a weight outside (0, 1), an order below 2 or too large for the vocabulary.

    Source: Jelinek and Mercer's interpolation; the bigram of the chapter has n = 2.
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[int]],
        vocabulary: int,
        eos: int,
        order: int = 2,
        weight: float = 0.8,
    ) -> None:
        if not 0.0 < weight < 1.0:
            raise ValueError(f"weight is {weight}, want a number inside (0, 1)")
        if order < 2 or vocabulary ** (order - 1) >= 2**63:
            raise ValueError(f"order is {order}, want at least 2 and vocabulary ** (order - 1) below 2**63")
        super().__init__(vocabulary, eos, order - 1)
        self.weight = weight
        after = np.concatenate([np.asarray(sequence[1:]) for sequence in sequences])
        self.unigram = np.bincount(after, minlength=vocabulary) / len(after)
        self.levels = [self._count(sequences, length) for length in range(1, order)]

    def _count(
        self, sequences: Sequence[Sequence[int]], length: int
    ) -> tuple[Int[np.ndarray, " histories"], sparse.csr_array]:
        """The histories of one length, as sorted numbers, and the law behind each."""
        texts = [np.asarray(sequence) for sequence in sequences if len(sequence) > length]
        windows = np.concatenate([np.lib.stride_tricks.sliding_window_view(t, length + 1) for t in texts])
        keys, place = np.unique(windows[:, :-1] @ self._powers(length), return_inverse=True)
        shape = (len(keys), self.vocabulary)
        counts = sparse.coo_array((np.ones(len(place)), (place, windows[:, -1])), shape=shape).tocsr()
        share = sparse.diags_array(1.0 / np.asarray(counts.sum(axis=1)).ravel())
        return keys, (share.tocsr() @ counts).tocsr()

    def _powers(self, length: int) -> Int[np.ndarray, " length"]:
        return np.array([self.vocabulary**place for place in range(length - 1, -1, -1)], dtype=np.int64)

    def rows(self, histories: Int[Tensor, "batch memory"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p_n(· | history)`` for each history."""
        words = histories.cpu().numpy().astype(np.int64)
        law = np.tile(self.unigram, (len(words), 1))
        for length, (keys, shares) in enumerate(self.levels, start=1):
            wanted = words[:, -length:] @ self._powers(length)
            place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
            seen = keys[place] == wanted
            law[seen] *= 1.0 - self.weight
            law[seen] += self.weight * shares[place[seen]].toarray()
        return torch.from_numpy(law).float().log()
