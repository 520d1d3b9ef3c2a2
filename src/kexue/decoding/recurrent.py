"""A recurrent language model: tanh network or LSTM, tied embeddings, any output layer."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from kexue.decoding.fused import tanh_layer
from kexue.decoding.heads import Head
from kexue.decoding.network import Network
from kexue.decoding.protocol import LanguageModel, State


class Recurrent(Network):
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
        if cell not in ("tanh", "lstm"):
            raise ValueError(f"cell is {cell!r}, want 'tanh' or 'lstm'")
        super().__init__(vocabulary, eos, hidden, 0.1, dropout, head)
        self.layers, self.cell = layers, cell
        network = nn.LSTM if cell == "lstm" else nn.RNN
        self.network = network(
            hidden, hidden, num_layers=layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def top(self, tokens: Int[Tensor, "batch time"], start: int) -> Float[Tensor, "batch steps hidden"]:
        """The top layer's vectors after positions ``start … T-1``."""
        if self.cell == "tanh" and not tokens.is_cuda:  # there the vendor's own is as good
            below = self.dropout(self.embedding(tokens.T))
            for layer in range(self.layers):
                inward, recurrent, one, other = self._weights(layer)
                below = tanh_layer(functional.linear(below, inward, one + other), recurrent)
                if layer + 1 < self.layers:
                    below = self.dropout(below)
            hidden = below.transpose(0, 1)
        else:
            hidden, _ = self.network(self.dropout(self.embedding(tokens)))
        top: Tensor = self.dropout(hidden[:, start:])
        return top

    def _weights(self, layer: int) -> list[Tensor]:
        """A cell's two matrices and two biases."""
        return [getattr(self.network, f"{name}_l{layer}") for name in _CELL_WEIGHTS]

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Hidden vectors of all layers after ``prefix`` (zeros before any token), and the output layer's state."""
        batch = prefix.shape[0]
        weight = self.embedding.weight
        if prefix.shape[1] == 0:
            zeros = weight.new_zeros(self.layers, batch, self.hidden)
            last: tuple[Tensor, ...] = (zeros, zeros) if self.cell == "lstm" else (zeros,)
        else:
            _, found = self.network(self.embedding(prefix))
            last = found if self.cell == "lstm" else (found,)
        memory = tuple(tuple(part.unbind(0)) for part in last)
        return (memory, self.head.init(batch, weight.device, weight.dtype))

    def advance(self, token: Int[Tensor, " batch"], memory: State) -> State:
        """The hidden vectors after one token more: for each part of the cell a tuple of one tensor per layer."""
        below: Tensor = self.embedding(token)
        parts: list[tuple[Tensor, ...]] = []
        for layer in range(self.layers):
            weights = self._weights(layer)
            if self.cell == "tanh":
                below = torch.rnn_tanh_cell(below, memory[0][layer], *weights)
                parts.append((below,))
            else:
                below, cell = torch.lstm_cell(below, (memory[0][layer], memory[1][layer]), *weights)
                parts.append((below, cell))
        return tuple(zip(*parts, strict=True))

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One token in, log-probabilities of the next one out; constant memory."""
        return self._spoken(self.advance(token, state[0]), state[1])

    def _spoken(self, memory: State, inner: State) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        top = memory[0][-1]
        logits, inner = self.speak(top, inner)
        return logits, (memory, inner)

    def prepared(self, tokens: int) -> LanguageModel:
        """The same law, its weights laid out for reading about ``tokens`` tokens; this model where that does not pay.

        The first layer's product with an embedding is looked up, not computed anew for every token read: on a CPU, from
        as many tokens as the table has rows. Weights changed later do not reach what was prepared.
        """
        on_cpu = self.embedding.weight.device.type == "cpu"  # elsewhere a cell is one kernel already
        return _Prepared(self) if on_cpu and tokens >= self.vocabulary else self


class _Prepared:
    """A recurrent model with sums and products that do not depend on the state already done."""

    @torch.no_grad()
    def __init__(self, model: Recurrent) -> None:
        self.model, self.vocabulary, self.eos, self.init = model, model.vocabulary, model.eos, model.init
        inward, self.recurrent, one, other = model._weights(0)
        self.table = functional.linear(model.embedding.weight, inward, one + other)
        self.upper: list[tuple[Tensor, Tensor]] = []
        for layer in range(1, model.layers):
            inward, recurrent, one, other = model._weights(layer)
            self.upper.append((one + other, torch.cat([inward, recurrent], dim=1)))

    @torch.no_grad()
    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """As ``Recurrent.step``."""
        memory, parts = state[0], []
        drive = self.table[token].addmm_(memory[0][0], self.recurrent.T)
        parts.append(self._cell(drive, memory, 0))
        for layer, (bias, both) in enumerate(self.upper, start=1):
            drive = torch.addmm(bias, torch.cat([parts[-1][0], memory[0][layer]], dim=1), both.T)
            parts.append(self._cell(drive, memory, layer))
        return self.model._spoken(tuple(zip(*parts, strict=True)), state[1])

    def _cell(
        self, drive: Float[Tensor, "batch gates"], memory: State, layer: int
    ) -> tuple[Float[Tensor, "batch hidden"], ...]:
        """A cell from its gates before their sigmoids, which it overwrites."""
        if self.model.cell == "tanh":
            return (drive.tanh_(),)
        entry, keep, candidate, out = drive.chunk(4, dim=1)
        cell = torch.addcmul(keep.sigmoid_() * memory[1][layer], entry.sigmoid_(), candidate.tanh_())
        return torch.tanh(cell).mul_(out.sigmoid_()), cell


_CELL_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
