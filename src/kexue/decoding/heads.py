"""Output layers that must stop: self-terminating (ST), non-monotonic self-terminating (NMST), and post-hoc NMST.

All three write the chance of going on at generated step ``t = 1, 2, …`` as a *survival factor*
``s_t = 1 - p_t(eos) <= (1 - eps)^t`` and share it among the other tokens by the model's own softmax:

* ST: ``s_t = prod_{i<=t} (1 - eps) sigmoid(z_i)`` — a running product, so ``p_t(eos)`` can never fall;
* NMST: ``s_t = (1 - eps)^t sigmoid(-z_t)`` — a fixed envelope times a memoryless gate;
* post-hoc NMST: ``s_t = (1 - eps)^t (1 - p_t(eos))`` — no new parameter, no training.

Note the signs: a larger gate ``z`` makes ST stop later and NMST stop sooner.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from kexue.decoding.protocol import State


def check_epsilon(epsilon: float) -> None:
    """Refuse an ``epsilon`` outside the open unit interval.

    Raises:
        ValueError: naming ``epsilon``.
    """
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon is {epsilon}, want a number inside (0, 1)")


def share(
    logits: Float[Tensor, "*batch vocabulary"], log_survival: Float[Tensor, "*batch"], eos: int
) -> Float[Tensor, "*batch vocabulary"]:
    """Give ``<eos>`` the mass ``1 - s`` and let the other tokens share ``s`` by their softmax.

    ``log p(eos) = log(-expm1(log s))`` keeps probabilities of 1e-30 apart from 0, where ``1 - exp(…)`` in single
    precision cannot tell 1e-8 from it.

    Args:
        logits: the model's logits; the entry of ``<eos>`` is ignored.
        log_survival: ``log s``, at most 0.
        eos: the index of ``<eos>``.

    Returns:
        Normalised log-probabilities.
    """
    at_eos = functional.one_hot(torch.tensor(eos, device=logits.device), logits.shape[-1]).bool()
    words = logits.masked_fill(at_eos, -torch.inf).log_softmax(dim=-1) + log_survival[..., None]
    stop = torch.log(-torch.expm1(log_survival))
    return torch.where(at_eos, stop[..., None], words)


def self_terminating_log_survival(
    gate: Float[Tensor, "*batch time"], epsilon: float
) -> Float[Tensor, "*batch time"]:
    """``log s_t = sum_{i<=t} [log(1 - eps) + log sigmoid(z_i)]``.

    Args:
        gate: ``z_1 … z_T``, generated steps last.
        epsilon: ε in (0, 1).

    Returns:
        ``log s_t`` for each step.

    Source: kexue.fm/archives/7500, the self-terminating design; Welleck et al. 2020, section 4.2.
    """
    check_epsilon(epsilon)
    return (math.log1p(-epsilon) + functional.logsigmoid(gate)).cumsum(dim=-1)


def non_monotonic_log_survival(
    gate: Float[Tensor, "*batch time"], epsilon: float, first: int = 1
) -> Float[Tensor, "*batch time"]:
    """``log s_t = t log(1 - eps) + log sigmoid(-z_t)``.

    Args:
        gate: ``z_t``, generated steps last.
        epsilon: ε in (0, 1).
        first: the index t of the first step in ``gate``; the first generated token has t = 1.

    Returns:
        ``log s_t`` for each step.

    Source: Choi et al., ICLR 2023, equation 10, in the form 1 − p(eos) = (1 − λ)(1 − ε)^t.
    """
    check_epsilon(epsilon)
    steps = torch.arange(first, first + gate.shape[-1], device=gate.device, dtype=gate.dtype)
    return steps * math.log1p(-epsilon) + functional.logsigmoid(-gate)


def post_hoc(
    logits: Float[Tensor, "*batch vocabulary"], step: Shaped[Tensor, "*steps"] | int, epsilon: float, eos: int
) -> Float[Tensor, "*batch vocabulary"]:
    """A softmax model made non-monotonically self-terminating without training.

    ``1 - p'_t(eos) = (1 - p_t(eos)) (1 - eps)^t``: every other token is scaled by ``(1 - eps)^t`` and ``<eos>`` gets
    the rest.

    Args:
        logits: the model's logits.
        step: t of each row (broadcast against ``logits`` without its last dimension); 1 for the first generated token.
        epsilon: ε in (0, 1).
        eos: the index of ``<eos>``.

    Returns:
        Normalised log-probabilities.

    Source: this book; the limit of NMST in which the gate is the model's own ``<eos>`` probability.
    """
    check_epsilon(epsilon)
    law = logits.log_softmax(dim=-1)
    at_eos = functional.one_hot(torch.tensor(eos, device=logits.device), logits.shape[-1]).bool()
    words = law.masked_fill(at_eos, -torch.inf).logsumexp(dim=-1)
    return share(logits, words + torch.as_tensor(step, device=logits.device) * math.log1p(-epsilon), eos)


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
        """Log-probabilities of steps 1 … T at once, for training."""
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


class SelfTerminating(nn.Module):
    """ST: ``p_t(eos) = 1 - prod_{i<=t} (1 - eps) sigmoid(w·h_i + b)``, never falling, at least ``1 - (1 - eps)^t``.

    Args:
        hidden: size of the hidden vector.
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
        bias: initial b. With b = 0 the untrained layer would stop every other token and start at an absurd loss.

    Source: kexue.fm/archives/7500; Welleck et al. 2020, section 4.2.
    """

    def __init__(self, hidden: int, eos: int, epsilon: float, bias: float = 6.0) -> None:
        super().__init__()
        check_epsilon(epsilon)
        self.eos, self.epsilon = eos, epsilon
        self.gate = nn.Linear(hidden, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """``log s_0 = 0``, one per row."""
        return (torch.zeros(batch, device=device, dtype=dtype),)

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One factor more in the product."""
        (log_survival,) = state
        log_survival = log_survival + self_terminating_log_survival(self.gate(hidden), self.epsilon)[:, 0]
        return share(logits, log_survival, self.eos), (log_survival,)

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """All steps by one cumulative sum."""
        return share(logits, self_terminating_log_survival(self.gate(hidden)[..., 0], self.epsilon), self.eos)


class NonMonotonic(nn.Module):
    """NMST: ``1 - p_t(eos) = (1 - eps)^t sigmoid(-(w·h_t + b))``; ``p_t(eos)`` may fall again.

    Args:
        hidden: size of the hidden vector.
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
        bias: initial b.

    Source: Choi et al., ICLR 2023, equation 10.
    """

    def __init__(self, hidden: int, eos: int, epsilon: float, bias: float = -6.0) -> None:
        super().__init__()
        check_epsilon(epsilon)
        self.eos, self.epsilon = eos, epsilon
        self.gate = nn.Linear(hidden, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Steps taken so far, shared by all rows."""
        return (0,)

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The envelope one step lower."""
        step = state[0] + 1
        log_survival = non_monotonic_log_survival(self.gate(hidden), self.epsilon, first=step)[:, 0]
        return share(logits, log_survival, self.eos), (step,)

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """All steps at once."""
        return share(logits, non_monotonic_log_survival(self.gate(hidden)[..., 0], self.epsilon), self.eos)


class PostHoc(nn.Module):
    """Post-hoc NMST as an output layer without parameters; see ``post_hoc``.

    Args:
        eos: the index of ``<eos>``.
        epsilon: ε in (0, 1).
    """

    def __init__(self, eos: int, epsilon: float) -> None:
        super().__init__()
        check_epsilon(epsilon)
        self.eos, self.epsilon = eos, epsilon

    def init(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Steps taken so far, shared by all rows."""
        return (0,)

    def step(
        self, hidden: Float[Tensor, "batch hidden"], logits: Float[Tensor, "batch vocabulary"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The envelope one step lower."""
        step = state[0] + 1
        return post_hoc(logits, step, self.epsilon, self.eos), (step,)

    def sequence(
        self, hidden: Float[Tensor, "batch time hidden"], logits: Float[Tensor, "batch time vocabulary"]
    ) -> Float[Tensor, "batch time vocabulary"]:
        """All steps at once."""
        steps = torch.arange(1, logits.shape[1] + 1, device=logits.device)
        return post_hoc(logits, steps, self.epsilon, self.eos)
