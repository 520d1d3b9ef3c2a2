"""A recurrent language model: tanh network or LSTM, tied embeddings, any output layer."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from kexue.decoding.heads import Head, Softmax
from kexue.decoding.protocol import State


class Recurrent(nn.Module):
    """``h_t = f(y_t, h_{t-1})``, ``logits = U h_t + c`` with ``U`` the embedding matrix.

    The top vector is inside the unit cube for both cells: ``tanh`` is, and so is the LSTM's ``o · tanh(c)``.

    Args:
        vocabulary: number of tokens, ``<eos>`` included.
        eos: the index of ``<eos>``.
        hidden: size of embeddings and hidden vectors.
        layers: stacked cells.
        cell: ``"tanh"`` or ``"lstm"``.
        dropout: on embeddings, between layers and on the output, while training.
        head: the output layer; an ordinary softmax by default.

    Source: the set-up of Welleck et al. 2020, section 5.
    """

    def __init__(
        self,
        vocabulary: int,
        eos: int,
        hidden: int,
        layers: int = 2,
        cell: Literal["tanh", "lstm"] = "tanh",
        dropout: float = 0.0,
        head: Head | None = None,
    ) -> None:
        super().__init__()
        if cell not in ("tanh", "lstm"):
            raise ValueError(f"cell is {cell!r}, want 'tanh' or 'lstm'")
        self.vocabulary, self.eos, self.hidden, self.layers, self.cell = vocabulary, eos, hidden, layers, cell
        self.embedding = nn.Embedding(vocabulary, hidden)
        nn.init.normal_(self.embedding.weight, std=0.1)
        network = nn.LSTM if cell == "lstm" else nn.RNN
        self.network = network(
            hidden, hidden, num_layers=layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dropout = nn.Dropout(dropout)
        self.head: Head = Softmax() if head is None else head

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
        hidden, _ = self.network(self.dropout(self.embedding(tokens)))
        top = self.dropout(hidden[:, start:])
        return self.head.sequence(top, functional.linear(top, self.embedding.weight, self.bias))

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Hidden vectors of all layers after ``prefix`` (zeros before any token), and the output layer's state."""
        batch = prefix.shape[0]
        weight = self.embedding.weight
        if prefix.shape[1] == 0:
            zeros = weight.new_zeros(batch, self.layers, self.hidden)
            memory: State = (zeros, zeros) if self.cell == "lstm" else (zeros,)
        else:
            _, last = self.network(self.embedding(prefix))
            memory = tuple(
                part.transpose(0, 1).contiguous() for part in (last if self.cell == "lstm" else (last,))
            )
        return (memory, self.head.init(batch, weight.device, weight.dtype))

    def advance(self, token: Int[Tensor, " batch"], memory: State) -> State:
        """The hidden vectors after one token more: a tuple of tensors of shape (batch, layers, hidden)."""
        below = self.embedding(token)
        parts: list[tuple[Tensor, ...]] = []
        for layer in range(self.layers):
            weights = (getattr(self.network, f"{name}_l{layer}") for name in _CELL_WEIGHTS)
            w_in, w_state, b_in, b_state = weights
            pre = functional.linear(below, w_in, b_in + b_state) + memory[0][:, layer] @ w_state.T
            if self.cell == "tanh":
                below = torch.tanh(pre)
                parts.append((below,))
                continue
            enter, forget, candidate, leave = pre.chunk(4, dim=1)
            cell = forget.sigmoid() * memory[1][:, layer] + enter.sigmoid() * candidate.tanh()
            below = leave.sigmoid() * cell.tanh()
            parts.append((below, cell))
        return tuple(torch.stack(part, dim=1) for part in zip(*parts, strict=True))

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One token in, log-probabilities of the next one out; constant memory."""
        memory = self.advance(token, state[0])
        top = memory[0][:, -1]
        logits, inner = self.head.step(
            top, functional.linear(top, self.embedding.weight, self.bias), state[1]
        )
        return logits, (memory, inner)


_CELL_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
