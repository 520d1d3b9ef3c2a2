"""A small pre-norm transformer (GPT-2's block), with a key–value cache that grows by doubling."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from kexue.decoding.fused import Dropout
from kexue.decoding.heads import Head
from kexue.decoding.network import Network
from kexue.decoding.protocol import State


class Block(nn.Module):
    """Attention, then a two-layer network, each behind a LayerNorm and added to the stream.

    Args:
        hidden: size of the stream.
        heads: attention heads; divides ``hidden``.
        dropout: after attention and after the network, while training.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.merge = nn.Linear(hidden, hidden)
        self.before_network = nn.LayerNorm(hidden)
        self.widen = nn.Linear(hidden, 4 * hidden)
        self.narrow = nn.Linear(4 * hidden, hidden)
        self.dropout = Dropout(dropout)

    def split(self, stream: Float[Tensor, "batch time hidden"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, heads, time, size)."""
        batch, time, hidden = stream.shape
        packed = self.project(self.before_attention(stream))
        query, key, value = packed.view(batch, time, 3, self.heads, hidden // self.heads).unbind(dim=2)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def finish(
        self, stream: Float[Tensor, "batch time hidden"], seen: Float[Tensor, "batch heads time size"]
    ) -> Float[Tensor, "batch time hidden"]:
        """Add what attention saw, then the network."""
        merged = self.merge(seen.transpose(1, 2).reshape(stream.shape))
        stream = stream + self.dropout(merged)
        inner = functional.gelu(self.widen(self.before_network(stream)), approximate="tanh")
        widened: Tensor = self.dropout(self.narrow(inner))
        return stream + widened


class Transformer(Network):
    """A decoder-only transformer with a final LayerNorm and tied embeddings.

    Positions start as fixed sinusoids and are not trained, so that positions beyond the training length are at least
    defined; they can be overwritten with a learned table. The state holds the keys and values of all tokens read:
    its memory grows with the length, and ``positions`` bounds that length.

    Args:
        vocabulary: number of tokens, ``<eos>`` included.
        eos: the index of ``<eos>``.
        hidden: size of the stream.
        layers: blocks.
        heads: attention heads; divides ``hidden``.
        positions: the longest context plus continuation.
        dropout: while training.
        head: the output layer; an ordinary softmax by default.

    Source: Radford et al. 2019 (GPT-2), the architecture.
    """

    def __init__(
        self,
        vocabulary: int,
        eos: int,
        hidden: int,
        layers: int,
        heads: int,
        positions: int,
        dropout: float = 0.0,
        head: Head | None = None,
    ) -> None:
        if hidden % heads:
            raise ValueError(f"heads is {heads}, want a divisor of hidden = {hidden}")
        super().__init__(vocabulary, eos, hidden, 0.05, dropout, head)
        self.register_buffer("places", 0.05 * sinusoids(positions, hidden))
        self.places: Tensor
        self.stack = nn.ModuleList(Block(hidden, heads, dropout) for _ in range(layers))
        self.final = nn.LayerNorm(hidden)

    @property
    def blocks(self) -> list[Block]:
        """The blocks, from the embedding upwards."""
        return [block for block in self.stack if isinstance(block, Block)]

    def _stream(self, tokens: Int[Tensor, "batch time"], first: int) -> Float[Tensor, "batch time hidden"]:
        last = first + tokens.shape[1]
        if last > self.places.shape[0]:
            raise ValueError(f"position {last} asked for, want at most positions = {self.places.shape[0]}")
        stream: Tensor = self.dropout(self.embedding(tokens) + self.places[first:last])
        return stream

    def top(self, tokens: Int[Tensor, "batch time"], start: int) -> Float[Tensor, "batch steps hidden"]:
        """The normalised stream after positions ``start … T-1``."""
        stream = self._stream(tokens, 0)
        for block in self.blocks:
            query, key, value = block.split(stream)
            seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            stream = block.finish(stream, seen)
        top: Tensor = self.final(stream[:, start:])
        return top

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Keys and values of the prefix, the number of tokens read, and the output layer's state."""
        batch, length = prefix.shape
        inner = self.head.init(batch, self.places.device, self.places.dtype)
        stream, caches = self._stream(prefix, 0), []
        for block in self.blocks:
            query, key, value = block.split(stream)
            caches.append((_room(key.transpose(2, 3), 3, length + 64), _room(value, 2, length + 64)))
            if length:
                seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
                stream = block.finish(stream, seen)
        return (tuple(caches), length, inner)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One token in, log-probabilities of the next one out; writes into the cache of ``state``."""
        caches, length, inner = state
        stream = self._stream(token[:, None], length)
        kept = []
        for block, (keys, values) in zip(self.blocks, caches, strict=True):
            query, key, value = block.split(stream)
            if values.shape[2] == length:
                keys, values = _room(keys, 3, 2 * length), _room(values, 2, 2 * length)
            keys[..., length], values[:, :, length] = key[:, :, 0], value[:, :, 0]
            seen = attend_once(query, keys[..., : length + 1], values[:, :, : length + 1])
            stream = block.finish(stream, seen)
            kept.append((keys, values))
        top = self.final(stream[:, 0])
        logits, inner = self.speak(top, inner)
        return logits, (tuple(kept), length + 1, inner)


def sinusoids(positions: int, hidden: int) -> Float[Tensor, "positions hidden"]:
    """Sine and cosine waves of geometrically growing wavelength, one pair per two channels.

    Args:
        positions: rows.
        hidden: columns.

    Returns:
        Values in [-1, 1].

    Source: Vaswani et al. 2017, section 3.5.
    """
    rates = torch.exp(-math.log(10_000.0) * torch.arange(0, hidden, 2) / hidden)
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :hidden]


def attend_once(
    query: Float[Tensor, "batch heads 1 size"],
    keys: Float[Tensor, "batch heads size time"],
    values: Float[Tensor, "batch heads time size"],
) -> Float[Tensor, "batch heads 1 size"]:
    """``softmax(q K / sqrt(size)) V`` of one token, with the keys stored time last.

    One query a head is two thin products that only read the cache. Time last for the keys makes the first run along
    memory; PyTorch's fused attention, made for many queries, takes about twice as long on a CPU.

    Args:
        query: q.
        keys: K, transposed; may be a slice of a roomier tensor.
        values: V, likewise.

    Returns:
        What the token saw.
    """
    scaled = query.flatten(0, 1) / math.sqrt(query.shape[3])
    weights = torch.bmm(scaled, keys.flatten(0, 1)).softmax(dim=2)
    return torch.bmm(weights, values.flatten(0, 1)).view(query.shape)


def _room(part: Float[Tensor, "batch heads first second"], time: int, length: int) -> Tensor:
    """A copy with place for ``length`` tokens along the dimension ``time``."""
    shape = list(part.shape)
    shape[time] = length
    roomy = part.new_empty(shape)
    roomy.narrow(time, 0, part.shape[time]).copy_(part)
    return roomy
