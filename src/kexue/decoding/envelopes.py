"""Survival envelopes: the chance of going on at step t, kept under ``(1 - eps)^t``, and how the words share it.

Three ways to write ``s_t = 1 - p_t(eos) <= (1 - eps)^t`` for generated step ``t = 1, 2, …``:

* ST: ``s_t = prod_{i<=t} (1 - eps) sigmoid(z_i)``: a running product, so ``p_t(eos)`` can never fall;
* NMST: ``s_t = (1 - eps)^t sigmoid(-z_t)``: a fixed envelope times a gate without memory;
* post-hoc NMST: ``s_t = (1 - eps)^t (1 - p_t(eos))``: no new parameter, no training.

Note the signs: a larger gate ``z`` makes ST stop later and NMST stop sooner.
"""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional


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
    law = without(logits, eos).log_softmax(dim=-1) + log_survival[..., None]
    law[..., eos] = log_stop(log_survival)
    return law


def without(logits: Float[Tensor, "*batch vocabulary"], eos: int) -> Float[Tensor, "*batch vocabulary"]:
    """The logits with that of ``<eos>`` at −∞: the words among themselves."""
    words = logits.clone()
    words[..., eos] = -torch.inf
    return words


def log_stop(log_survival: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """``log p(eos) = log(-expm1(log s))``, exact also where ``1 - s`` would round to 0."""
    return torch.log(-torch.expm1(log_survival))


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
    going_on = functional.logsigmoid(without(logits, eos).logsumexp(dim=-1) - logits[..., eos])
    exact = torch.promote_types(logits.dtype, torch.float32)  # a whole number would be taken for a float32
    steps = torch.as_tensor(step, device=logits.device, dtype=exact)
    return share(logits, going_on + steps * math.log1p(-epsilon), eos)
