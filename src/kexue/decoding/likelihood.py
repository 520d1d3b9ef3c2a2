"""The likelihood split in two: whether to stop, and which word."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kexue.decoding.corpus import padded
from kexue.decoding.network import Network, device_of


@dataclass(frozen=True)
class Split:
    """Mean negative log-likelihood per token, in nats, of continuations.

    Attributes:
        stop: the cost of the stop/continue decision.
        word: the cost of the word, given that it is one.
        tokens: tokens counted.
    """

    stop: float
    word: float
    tokens: int

    @property
    def total(self) -> float:
        """The whole negative log-likelihood per token."""
        return self.stop + self.word


@torch.no_grad()
def evaluate(model: Network, sequences: Sequence[Sequence[int]], context: int, batch: int = 128) -> Split:
    """Stop/continue and word cost of the continuations of a corpus.

    Args:
        model: the language model.
        sequences: encoded texts, ``<bos>`` first and ``<eos>`` last.
        context: words of context, not counted.
        batch: sequences at a time.

    Returns:
        Nats per counted token.
    """
    stop = word = 0.0
    count = 0
    ordered = sorted(sequences, key=len)
    device = device_of(model)
    for first in range(0, len(ordered), batch):
        tokens, lengths = padded(ordered[first : first + batch])
        mask = torch.arange(context + 1, tokens.shape[1])[None] < lengths[:, None]
        mask = mask.to(device)
        scores = model.scores(tokens.to(device), start=context)
        stop, word = stop - float(scores.decision[mask].sum()), word - float(scores.word[mask].sum())
        count += int(mask.sum())
    return Split(stop / count, word / count, count)
