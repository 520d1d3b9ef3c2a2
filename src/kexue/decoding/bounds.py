"""When a decoder must stop, and what the guarantee costs: everything that follows from ``s_t <= (1 - eps)^t``."""

import math
from decimal import ROUND_FLOOR, Decimal, localcontext

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kexue.decoding.envelopes import check_epsilon


def first_step_above(delta: float, epsilon: float) -> int:
    """The first step ``t`` at which ``1 - (1 - eps)^t > delta``.

    ``N = floor(ln(1 - delta) / ln(1 - eps)) + 1``. With δ = ½ greedy decoding of a self-terminating model emits
    ``<eos>`` at step N at the latest. Both numbers are taken as the decimals they are written as: ``1 - 0.9^3`` is not
    above 0.271, whatever its binary rounding.

    Args:
        delta: a probability in [0, 1).
        epsilon: ε in (0, 1).

    Returns:
        N, counted from 1.

    Raises:
        ValueError: for ``delta`` or ``epsilon`` outside their ranges.

    Source: kexue.fm/archives/7500 (there counted from 0); Welleck et al. 2020, theorem 4.3.
    """
    check_epsilon(epsilon)
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"delta is {delta}, want a number in [0, 1)")
    mass, share = Decimal(repr(float(delta))), Decimal(repr(float(epsilon)))
    with localcontext(prec=60 - min(mass.adjusted() if mass else 0, share.adjusted())):
        ratio = (1 - mass).ln() / (1 - share).ln()
        edge = ratio.to_integral_value()
        # at the edge itself, which is not above, the quotient of the logarithms may come out on either side
        on_edge = abs(ratio - edge) <= ratio * Decimal(10) ** -45
        return int(edge if on_edge else ratio.to_integral_value(ROUND_FLOOR)) + 1


def greedy_limit(epsilon: float) -> int:
    """The last step at which greedy decoding of an ST or NMST model can still be running: ``N_{1/2}``."""
    return first_step_above(0.5, epsilon)


def top_k_entry(k: int, epsilon: float) -> int:
    """The step from which ``<eos>`` is surely among the ``k`` most likely tokens.

    If it were not, ``k`` tokens would each have at least its mass: ``(k + 1) p(eos) <= 1``.

    Args:
        k: candidates.
        epsilon: ε in (0, 1).

    Returns:
        ``N_{1/(k+1)}``.
    """
    return first_step_above(1.0 / (k + 1), epsilon)


def nucleus_limit(mass: float, epsilon: float) -> int:
    """The last step at which nucleus sampling of an ST or NMST model can still be running: ``N_{max(1/2, mass)}``."""
    return first_step_above(max(0.5, mass), epsilon)


def beam_limit(width: int, epsilon: float) -> int:
    """The last step of beam search that waits for ``width`` finished hypotheses: ``N_{1/2} + width - 1``."""
    return greedy_limit(epsilon) + width - 1


def epsilon_for(horizon: int) -> float:
    """The ε that forces greedy decoding to stop within ``horizon`` steps, rounded up by half a step.

    Stopping by step L is forced exactly when ``eps > 1 - 2^(-1/L)``; the value returned is ``1 - 2^(-1/(L - 1/2))``.

    Args:
        horizon: L, at least 1.

    Returns:
        ε with ``greedy_limit(ε) == horizon``.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}, want at least 1 step")
    return -math.expm1(-math.log(2.0) / (horizon - 0.5))


def sampling_survival(horizon: int, epsilon: float) -> float:
    """``P(|Y| > L) <= (1 - eps)^(L (L + 1) / 2)`` under ancestral sampling of an ST or NMST model.

    Args:
        horizon: L.
        epsilon: ε in (0, 1).

    Returns:
        The bound.
    """
    check_epsilon(epsilon)
    return math.exp(math.log1p(-epsilon) * horizon * (horizon + 1) / 2)


def likelihood_tax(lengths: Int[np.ndarray, " texts"], epsilon: float) -> float:
    """The least stop/continue cost per token that any ST or NMST model can reach on texts of these lengths.

    ``-ln(1 - eps) · E[T (T - 1) / 2] / E[T]`` nats: going on at step t costs at least ``-t ln(1 - eps)``.

    Args:
        lengths: tokens T of each continuation, ``<eos>`` included.
        epsilon: ε in (0, 1).

    Returns:
        Nats per token.
    """
    check_epsilon(epsilon)
    steps = np.asarray(lengths, dtype=np.float64)
    return float(-math.log1p(-epsilon) * (steps * (steps - 1) / 2).sum() / steps.sum())


def log_least_stop(
    weight: Float[Tensor, "vocabulary hidden"],
    bias: Float[Tensor, " vocabulary"],
    eos: int,
    *,
    radius: float = 1.0,
    dual: float = 1.0,
) -> float:
    """``ln xi``: a certified lower bound on ``ln p(eos)`` of a softmax over a bounded hidden vector.

    For ``||h|| <= B``: ``xi = 1 / sum_v exp(B ||u_v - u_eos||_* + c_v - c_eos)``, so that ``P(|Y| > L) <= (1 - xi)^L``.

    Args:
        weight: output rows ``u_v``.
        bias: ``c_v``.
        eos: the index of ``<eos>``.
        radius: B; 1 for a tanh network or an LSTM, in the maximum norm.
        dual: order of the dual norm; 1 for the maximum norm, 2 for the Euclidean one.

    Returns:
        ``ln xi``; ξ itself underflows for most trained models.

    Source: the constant behind lemma 3.1 of Welleck et al. 2020; kexue.fm/archives/7500.
    """
    difference = (weight - weight[eos]).double()
    reach = radius * torch.linalg.vector_norm(difference, ord=dual, dim=1)
    return float(-(reach + (bias - bias[eos]).double()).logsumexp(dim=0))


def log_least_stop_layernorm(
    weight: Float[Tensor, "vocabulary hidden"],
    scale: Float[Tensor, " hidden"],
    shift: Float[Tensor, " hidden"],
    eos: int,
) -> float:
    """``ln xi`` behind a final LayerNorm, ``h = scale ∘ x + shift`` with ``||x||_2 <= sqrt(hidden)``.

    Args:
        weight: output rows ``u_v``.
        scale: γ.
        shift: β.
        eos: the index of ``<eos>``.

    Returns:
        ``ln xi``.

    Source: the remark on LayerNorm in kexue.fm/archives/7500.
    """
    return log_least_stop(weight * scale, weight @ shift, eos, radius=math.sqrt(weight.shape[1]), dual=2.0)
