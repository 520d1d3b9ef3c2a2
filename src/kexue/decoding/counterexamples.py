"""Small models that show what termination theorems can and cannot promise."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kexue.decoding.envelopes import (
    check_epsilon,
    non_monotonic_log_survival,
    self_terminating_log_survival,
)
from kexue.decoding.protocol import State


class AlwaysLast:
    """A consistent tanh network whose ``<eos>`` is the least likely token at every step of every sequence.

    ``a_t = tanh(W a_{t-1})`` with ``W > 0`` stays positive; ``b_t = tanh(b_{t-1} + onehot(y_t))`` counts what was said.
    A word's logit is ``u_v·a_t + b_t[v] > 0`` with ``u_v > 0``; that of ``<eos>`` is ``u_eos·a_t < 0``. A decoder that
    drops even one token never stops, while the bounded state makes ancestral sampling stop almost surely.

    Args:
        vocabulary: tokens; ``<eos>`` is the last one.
        hidden: size of ``a``.
        generator: draws the weights.

    Source: theorem 3.4 of Welleck et al. 2020; construction reconstructed from its statement.
    """

    def __init__(self, vocabulary: int, hidden: int, generator: torch.Generator) -> None:
        self.vocabulary, self.eos = vocabulary, vocabulary - 1
        self.recurrence = 0.5 + torch.rand(hidden, hidden, generator=generator)
        self.rows = 0.1 + torch.rand(vocabulary, hidden, generator=generator)
        self.rows[self.eos] *= -1.0

    @property
    def output(self) -> Float[Tensor, "vocabulary state"]:
        """The output matrix over the whole state ``[a; b]``, which lies in the unit cube."""
        return torch.cat([self.rows, torch.eye(self.vocabulary)], dim=1)

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """``a_0 = ½``, ``b_0 = 0``, and the prefix read."""
        batch = prefix.shape[0]
        state: State = (
            torch.full((batch, self.recurrence.shape[0]), 0.5),
            torch.zeros(batch, self.vocabulary),
        )
        for column in range(prefix.shape[1]):
            _, state = self.step(prefix[:, column], state)
        return state

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One tanh step."""
        positive, said = state
        positive = torch.tanh(positive @ self.recurrence.T)
        said = torch.tanh(said + torch.nn.functional.one_hot(token, self.vocabulary))
        return positive @ self.rows.T + said, (positive, said)


class Counter:
    """A counter without a bound: ``p(eos at step t) = 1 / (1 + e^t)``, t = 0, 1, …; it leaks 0.298 of its mass.

    Two tokens, one word and ``<eos>``; the state is ``h_t = relu(h_{t-1} + 1)`` and the logit of the word.

    Source: the kind of example in Du et al. 2023 and Chen et al. 2018 (unbounded recurrences); the numbers are ours.
    """

    vocabulary, eos = 2, 1

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Zero."""
        return (torch.zeros(prefix.shape[0], dtype=torch.float64),)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One step of the counter."""
        (height,) = state
        return torch.stack([height, torch.zeros_like(height)], dim=1), (torch.relu(height + 1.0),)

    @staticmethod
    def leak() -> float:
        """``prod_{t>=0} 1 / (1 + e^-t)``: the probability of never stopping."""
        return math.exp(-sum(math.log1p(math.exp(-step)) for step in range(64)))


class FadingStop:
    """A consistent model that top-1 with ``<eos>`` added may still never stop.

    Tokens a, b, ``<eos>``. After ``a`` said t times: ``p(eos) = 0.1 · 2^-t``, ``p(b) = 0.3``; after any ``b``:
    ``p(eos) = ½`` for ever, so the model stops almost surely. Greedy plus ``<eos>`` only ever says ``a`` and survives
    with probability ``prod_t (1 - 2^-t / 7)``.

    Source: this book.
    """

    vocabulary, eos = 3, 2

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """No ``a`` counted yet, no ``b`` said: the context does not count."""
        batch = prefix.shape[0]
        return (torch.full((batch,), -1, dtype=torch.int64), torch.zeros(batch, dtype=torch.bool))

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """Count ``a``; remember ``b``. The first token read is the context's and starts the count at 0."""
        count, said_b = state
        said_b = said_b | ((count >= 0) & (token == 1))
        count = count + 1
        stop = torch.where(said_b, 0.5, 0.1 * torch.exp2(-count.double()))
        other = torch.where(said_b, 0.25, 0.3).double()
        law = torch.stack([1.0 - stop - other, other, stop], dim=1)
        return law.log(), (count, said_b)

    @staticmethod
    def never() -> float:
        """``prod_{t>=0} (1 - 2^-t / 7)``."""
        return math.prod(1.0 - 2.0**-step / 7.0 for step in range(64))


class ConstantGate:
    """An ST (or NMST) output layer whose gate never moves: the slowest that ``epsilon`` allows, or any constant.

    Args:
        vocabulary: tokens; ``<eos>`` is the last one, the others are ranked by index.
        epsilon: ε in (0, 1).
        sigmoid: the value of the gate's sigmoid, in (0, 1]; 1 is the worst case.
        monotone: ST's running product, or NMST's envelope times the gate.
        preference: logit lost per index, so that word 0 leads.
    """

    def __init__(
        self,
        vocabulary: int,
        epsilon: float,
        sigmoid: float = 1.0,
        monotone: bool = True,
        preference: float = 0.0,
    ) -> None:
        if not 0.0 < sigmoid <= 1.0:
            raise ValueError(f"sigmoid is {sigmoid}, want a number in (0, 1]")
        self.vocabulary, self.eos = vocabulary, vocabulary - 1
        gate = torch.tensor([math.inf if sigmoid == 1.0 else math.log(sigmoid / (1.0 - sigmoid))]).double()
        envelope = self_terminating_log_survival if monotone else non_monotonic_log_survival
        self.first = float(envelope(gate if monotone else -gate, epsilon)[0])
        self.decay = self.first if monotone else math.log1p(-epsilon)
        words = -preference * torch.arange(vocabulary - 1, dtype=torch.float64)
        self.words = words.log_softmax(dim=0)

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """No token generated yet."""
        return (0,)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """``log s_t = log s_1 + (t - 1) · decay``."""
        survive = self.first + state[0] * self.decay
        stop = math.log(-math.expm1(survive))
        law = torch.cat([self.words + survive, torch.tensor([stop], dtype=torch.float64)])
        return law.expand(len(token), -1), (state[0] + 1,)


class ParallelChains:
    """A self-terminating model on which beam search takes as long as ``beam_limit`` allows, or nearly.

    The gate is the slowest that ``epsilon`` allows, ``p_t(eos) = 1 - (1 - eps)^t``. The first word generated is one of
    ``chains`` words, with probabilities in proportion to ``tilt^0, tilt^1, …``; from then on that word is said again and
    again. While ``p_t(eos) <= 1/2`` no ending can push a chain out of the beam, so none finishes. With two chains and
    ``p_{N-1} / (1 - p_{N-1}) <= tilt < (1 - p_N) / p_N``, N being ``greedy_limit``, only the better one finishes at step
    N and the other at N + 1 = ``beam_limit(2, eps)``: the limit is attained. With ``tilt = 1`` all finish at step N.

    Args:
        chains: words; ``<eos>`` is the last token.
        epsilon: ε in (0, 1).
        tilt: ratio of neighbouring first words, in (0, 1].

    Raises:
        ValueError: for less than one chain, and ``epsilon`` or ``tilt`` outside their ranges.

    Source: this book.
    """

    def __init__(self, chains: int, epsilon: float, tilt: float = 1.0) -> None:
        if chains < 1:
            raise ValueError(f"chains is {chains}, want at least 1 word")
        if not 0.0 < tilt <= 1.0:
            raise ValueError(f"tilt is {tilt}, want a number in (0, 1]")
        check_epsilon(epsilon)
        self.vocabulary, self.eos = chains + 1, chains
        self.decay = math.log1p(-epsilon)
        self.first = (math.log(tilt) * torch.arange(chains, dtype=torch.float64)).log_softmax(dim=0)

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """No token generated yet."""
        return (0,)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """Any chain at first; later the chain of the word read."""
        survive = (state[0] + 1) * self.decay
        words = self.first.expand(len(token), -1)
        if state[0]:
            words = torch.nn.functional.one_hot(token, self.eos).double().log()
        stop = words.new_full((len(token), 1), math.log(-math.expm1(survive)))
        return torch.cat([words + survive, stop], dim=1), (state[0] + 1,)
