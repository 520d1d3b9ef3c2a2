"""Output layers: the ordinary softmax, and the ones that must stop (ST, NMST, post-hoc NMST)."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from kexue.decoding.envelopes import (
    check_epsilon,
    log_stop,
    non_monotonic_log_survival,
    post_hoc,
    self_terminating_log_survival,
    share,
    without,
)
from kexue.decoding.protocol import State


class Scores(NamedTuple):
    """What a text costs, step by step, in two parts: ``log p(y) = log p(stop or not) + log p(y | not stop)``.

    Attributes:
        decision: log-probability of the decision that was taken, to stop or to go on.
        word: log-probability of the word, given that there is one; 0 at ``<eos>``.
    """

    decision: Float[Tensor, "batch time"]
    word: Float[Tensor, "batch time"]


@runtime_checkable
class Head(Protocol):
    """An output layer on top of a model's hidden vector and word logits."""

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first generated token."""
        ...

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """Log-probabilities of one generated step."""
        ...

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """Log-probabilities of steps 1 … T at once."""
        ...

    def scores(
        self,
        hidden: Float[Tensor, "batch time hidden"],
        word: Float[Tensor, "batch time"],
        lead: Float[Tensor, "batch time"],
        ends: Bool[Tensor, "batch time"],
    ) -> Scores:
        """Log-probabilities of given tokens only, for training, from ``word`` and ``lead`` of ``fused.word_scores``.

        ``ends`` says where the token is ``<eos>``.
        """
        ...


class Softmax(nn.Module):
    """The ordinary output layer: ``<eos>`` competes in the softmax like any word."""

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No state."""
        return ()

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The logits as they are."""
        return logits, state

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """``log softmax``."""
        return logits.log_softmax(dim=-1)

    def scores(
        self,
        hidden: Float[Tensor, "batch time hidden"],
        word: Float[Tensor, "batch time"],
        lead: Float[Tensor, "batch time"],
        ends: Bool[Tensor, "batch time"],
    ) -> Scores:
        """``p(eos) = sigmoid(z_eos - logsumexp of the words)``."""
        return Scores(functional.logsigmoid(torch.where(ends, lead, -lead)), word)


class _Enveloped(nn.Module):
    """What ST, NMST and post-hoc NMST share: whole sequences by way of ``log s_t``."""

    def __init__(self, eos: int, epsilon: float) -> None:
        super().__init__()
        check_epsilon(epsilon)
        self.eos, self.epsilon = eos, epsilon

    def log_survival(
        self, hidden: Float[Tensor, "batch time hidden"], lead: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time"]:
        """``log s_t`` of steps 1 … T; ``lead`` is the logit of ``<eos>`` over the logsumexp of the words."""
        raise NotImplementedError

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """All steps at once."""
        lead = logits[..., self.eos] - without(logits, self.eos).logsumexp(dim=-1)
        return share(logits, self.log_survival(hidden, lead), self.eos)

    def scores(
        self,
        hidden: Float[Tensor, "batch time hidden"],
        word: Float[Tensor, "batch time"],
        lead: Float[Tensor, "batch time"],
        ends: Bool[Tensor, "batch time"],
    ) -> Scores:
        """The decision by the envelope, the word by the softmax of the words."""
        survival = self.log_survival(hidden, lead)
        return Scores(torch.where(ends, log_stop(survival), survival), word)


class _Gated(_Enveloped):
    """An envelope with a trained gate ``z_t = w·h_t + b``; it starts with ``w = 0``."""

    def __init__(self, hidden: int, eos: int, epsilon: float, bias: float) -> None:
        super().__init__(eos, epsilon)
        self.gate = nn.Linear(hidden, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)


class SelfTerminating(_Gated):
    """ST: ``p_t(eos) = 1 - prod_{i<=t} (1 - eps) sigmoid(w·h_i + b)``, never falling, at least ``1 - (1 - eps)^t``.

    Args:
        hidden: size of the hidden vector.
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
        bias: initial b. With b = 0 the untrained layer would stop every other token and start at an absurd loss.

    Source: kexue.fm/archives/7500; Welleck et al. 2020, section 4.2.
    """

    def __init__(self, hidden: int, eos: int, epsilon: float, bias: float = 6.0) -> None:
        super().__init__(hidden, eos, epsilon, bias)

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """``log s_0 = 0``, one per row."""
        return (torch.zeros(batch, device=device, dtype=dtype),)

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One factor more in the product."""
        (so_far,) = state
        so_far = so_far + self_terminating_log_survival(self.gate(hidden), self.epsilon)[:, 0]
        return share(logits, so_far, self.eos), (so_far,)

    def log_survival(
        self, hidden: Float[Tensor, "batch time hidden"], lead: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time"]:
        """One cumulative sum."""
        return self_terminating_log_survival(self.gate(hidden)[..., 0], self.epsilon)


class _Clocked(_Enveloped):
    """An envelope that depends on the step alone: the state is a clock, shared by all rows."""

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Steps taken so far."""
        return (0,)


class NonMonotonic(_Clocked, _Gated):
    """NMST: ``1 - p_t(eos) = (1 - eps)^t sigmoid(-(w·h_t + b))``; ``p_t(eos)`` may fall again.

    Args:
        hidden: size of the hidden vector.
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
        bias: initial b.

    Source: Choi et al., ICLR 2023, equation 10.
    """

    def __init__(self, hidden: int, eos: int, epsilon: float, bias: float = -6.0) -> None:
        _Gated.__init__(self, hidden, eos, epsilon, bias)

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The envelope one step lower."""
        step = state[0] + 1
        log_survival = non_monotonic_log_survival(self.gate(hidden), self.epsilon, first=step)[:, 0]
        return share(logits, log_survival, self.eos), (step,)

    def log_survival(
        self, hidden: Float[Tensor, "batch time hidden"], lead: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time"]:
        """The envelope times the gate."""
        return non_monotonic_log_survival(self.gate(hidden)[..., 0], self.epsilon)


class PostHoc(_Clocked):
    """Post-hoc NMST as an output layer without parameters; see ``envelopes.post_hoc``.

    Args:
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
    """

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The envelope one step lower."""
        step = state[0] + 1
        return post_hoc(logits, step, self.epsilon, self.eos), (step,)

    def log_survival(
        self, hidden: Float[Tensor, "batch time hidden"], lead: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time"]:
        """The model's own chance to go on, times the envelope."""
        steps = torch.arange(1, lead.shape[-1] + 1, device=lead.device, dtype=lead.dtype)
        return functional.logsigmoid(-lead) + steps * math.log1p(-self.epsilon)
