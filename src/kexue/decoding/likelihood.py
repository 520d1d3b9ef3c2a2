"""The likelihood split in two: whether to stop, and which word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kexue.decoding.corpus import padded


@runtime_checkable
class Scorer(Protocol):
    """A model that gives the log-probabilities of whole sequences at once."""

    def __call__(
        self, tokens: Int[Tensor, "batch time"], start: int = 0
    ) -> Float[Tensor, "batch steps vocabulary"]:
        """Log-probabilities of the next token after positions ``start … T-1``."""
        ...


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


def split_nll(
    log_law: Float[Tensor, "batch steps vocabulary"],
    targets: Int[Tensor, "batch steps"],
    mask: Bool[Tensor, "batch steps"],
    eos: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sums of the two parts: ``-log p(y) = -log p(stop or not) - log p(y | not stop)``.

    Args:
        log_law: normalised log-probabilities.
        targets: the tokens that came.
        mask: True where a token counts.
        eos: the index of ``<eos>``.

    Returns:
        The stop/continue part and the word part, summed over the counted tokens, in nats.
    """
    picked = log_law.gather(2, targets[..., None])[..., 0]
    ends = targets == eos
    # log p(not eos) without 1 - p, which single precision rounds to 1 for p below 6e-8.
    words = log_law.clone()
    words[..., eos] = -torch.inf
    go_on = words.logsumexp(dim=2)
    stop = torch.where(ends, picked, go_on)
    word = torch.where(ends, torch.zeros_like(picked), picked - go_on)
    return -(stop * mask).sum(), -(word * mask).sum()


@torch.no_grad()
def evaluate(
    model: Scorer, sequences: Sequence[Sequence[int]], context: int, eos: int, batch: int = 128
) -> Split:
    """Stop/continue and word cost of the continuations of a corpus.

    Args:
        model: gives log-probabilities of whole sequences.
        sequences: encoded texts, ``<bos>`` first and ``<eos>`` last.
        context: words of context, not counted.
        eos: the index of ``<eos>``.
        batch: sequences at a time.

    Returns:
        Nats per counted token.
    """
    stop = word = 0.0
    count = 0
    ordered = sorted(sequences, key=len)
    device = next(iter(model.parameters())).device if isinstance(model, torch.nn.Module) else None
    for first in range(0, len(ordered), batch):
        tokens, lengths = padded(ordered[first : first + batch])
        mask = torch.arange(context + 1, tokens.shape[1])[None] < lengths[:, None]
        tokens, mask = tokens.to(device), mask.to(device)
        law = model(tokens[:, :-1], start=context)
        parts = split_nll(law, tokens[:, context + 1 :], mask, eos)
        stop, word = stop + float(parts[0]), word + float(parts[1])
        count += int(mask.sum())
    return Split(stop / count, word / count, count)
