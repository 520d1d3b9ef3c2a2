"""What the trained language models share: tied embeddings, an output layer, and whole sequences at once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from kexue.checks import returned
from kexue.decoding.fused import Dropout, word_scores
from kexue.decoding.heads import Head, Scores, Softmax
from kexue.decoding.protocol import State


class Network(nn.Module):
    """A network that makes a top vector of every prefix; words are scored by their embeddings.

    Args:
        vocabulary: number of tokens, ``<eos>`` included.
        eos: the index of ``<eos>``.
        hidden: size of embeddings and top vectors.
        spread: standard deviation of the embeddings at the start.
        dropout: on embeddings and elsewhere, while training.
        head: the output layer; an ordinary softmax by default.
    """

    def __init__(
        self, vocabulary: int, eos: int, hidden: int, spread: float, dropout: float, head: Head | None
    ) -> None:
        super().__init__()
        self.vocabulary, self.eos, self.hidden = vocabulary, eos, hidden
        self.embedding = nn.Embedding(vocabulary, hidden)
        nn.init.normal_(self.embedding.weight, std=spread)
        self.dropout = Dropout(dropout)
        self.head: Head = Softmax() if head is None else head
        self.register_parameter("bias", None)
        self.bias: nn.Parameter | None

    def top(self, tokens: Int[Tensor, "batch time"], start: int) -> Float[Tensor, "batch steps hidden"]:
        """The top vectors after positions ``start … T-1``."""
        raise NotImplementedError

    def score_words(self, top: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocabulary"]:
        """The logits of all tokens."""
        return functional.linear(top, self.embedding.weight, self.bias)

    def forward(
        self, tokens: Int[Tensor, "batch time"], start: int = 0
    ) -> Float[Tensor, "batch steps vocabulary"]:
        """Log-probabilities of the next token after positions ``start … T-1``.

        Args:
            tokens: shape (batch, T).
            start: the position of the last context token; the output layer's step 1 is the token after it.

        Returns:
            shape (batch, T - start, vocabulary).
        """
        top = self.top(tokens, start)
        logits = self.score_words(top)
        return returned("head.sequence", self.head.sequence(top, logits), logits.shape, logits.shape)

    def speak(
        self, top: Float[Tensor, "batch hidden"], inner: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The output layer's log-probabilities of one step, and its new state."""
        logits = self.score_words(top)
        law, inner = self.head.step(top, logits, inner)
        return returned("head.step", law, logits.shape, logits.shape), inner

    def scores(self, tokens: Int[Tensor, "batch time"], start: int = 0) -> Scores:
        """Log-probabilities of the tokens ``start + 1 … T-1`` themselves, the decision to stop apart from the word.

        Args:
            tokens: shape (batch, T).
            start: as for ``forward``.

        Returns:
            Two parts of shape (batch, T - 1 - start).
        """
        top, targets = self.top(tokens[:, :-1], start), tokens[:, start + 1 :]
        word, lead = word_scores(top, self.embedding.weight, self.bias, targets, self.eos)
        found = self.head.scores(top, word, lead, targets == self.eos)
        for name, part in zip(found._fields, found, strict=True):
            returned(f"head.scores' {name}", part, word.shape, top.shape)
        return found


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next(iter(model.parameters())).device
