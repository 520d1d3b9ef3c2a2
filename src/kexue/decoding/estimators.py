"""How sure one can be of a non-termination rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

from kexue.decoding.protocol import LanguageModel, check_call, next_logits, select
from kexue.decoding.rules import Rule, law_of


@dataclass(frozen=True)
class Rate:
    """A share with its interval: ``hits`` of ``trials``."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """``hits / trials``."""
        return self.hits / self.trials


def wilson(hits: int, trials: int, level: float = 0.95) -> Rate:
    """Wilson's score interval of a share.

    Args:
        hits: X.
        trials: N.
        level: coverage.

    Returns:
        The share and its interval.
    """
    interval = stats.binomtest(hits, trials).proportion_ci(level, method="wilson")
    return Rate(hits, trials, float(interval.low), float(interval.high))


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> Rate:
    """Clopper and Pearson's interval of a share; with no hit, the one-sided bound ``1 - (1 - level)^(1/N) ≈ 3/N``.

    Args:
        hits: X.
        trials: N.
        level: coverage.

    Returns:
        The share and its interval.
    """
    if hits == 0:
        test = stats.binomtest(0, trials, alternative="less")
        return Rate(0, trials, 0.0, float(test.proportion_ci(level, method="exact").high))
    interval = stats.binomtest(hits, trials).proportion_ci(level, method="exact")
    return Rate(hits, trials, float(interval.low), float(interval.high))


def mcnemar(first: Bool[np.ndarray, " contexts"], second: Bool[np.ndarray, " contexts"]) -> float:
    """The exact two-sided p-value that two decoders fail equally often on the same contexts.

    Args:
        first: failures of one decoder.
        second: failures of the other.

    Returns:
        The binomial p-value of the discordant pairs; 1 when there are none.
    """
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def sign_test(differences: Sequence[float]) -> float:
    """The exact two-sided p-value that a paired difference over seeds is as often positive as negative.

    Args:
        differences: one a seed; zeros are left out.

    Returns:
        The binomial p-value; 1 when all are zero.
    """
    signs = [value > 0 for value in differences if value != 0]
    return float(stats.binomtest(sum(signs), len(signs)).pvalue) if signs else 1.0


@torch.no_grad()
def log_survival(
    model: LanguageModel,
    context: Int[Tensor, "batch context"],
    rule: Rule,
    horizon: int,
    generator: torch.Generator,
    grid: Sequence[int] | None = None,
    negligible: float = -torch.inf,
) -> Float[Tensor, "batch grid"]:
    """``ln W_L``, with ``W_L = prod_{t<=L} (1 - q_t(eos))`` along a chain on which ``<eos>`` is forbidden.

    The mean of ``W_L`` is ``r_L`` without bias and never more variable than counting survivors (Rao–Blackwell), down
    to rates that no count could show. A chain whose decoder has lost ``<eos>`` keeps ``ln W`` constant; one that is
    merely slow goes on falling. Where ``q(eos) = 1`` the chain ends with ``W = 0``.

    Args:
        model: the language model.
        context: tokens, shape (batch, context).
        rule: the decoder.
        horizon: L.
        generator: where the tokens are drawn from.
        grid: the L at which ``ln W_L`` is kept; only the horizon by default.
        negligible: a chain whose ``ln W`` has fallen below this is left there, which can only raise the estimate, by
            less than ``exp(negligible)``.

    Returns:
        ``ln W``, −∞ where it is 0, shape (batch, len(grid)).

    Raises:
        ValueError: for a grid with an L outside 1 … horizon, and as ``decode`` does.

    Source: the identity ``P(|Y| > L) = E[prod (1 - q_t(eos))]``, this book.
    """
    check_call(model, context, horizon)
    kept = [horizon] if grid is None else list(grid)
    if not all(1 <= step <= horizon for step in kept):
        raise ValueError(f"grid is {kept}, want steps 1 … {horizon}")
    state, token = model.init(context[:, :-1]), context[:, -1]
    total = torch.zeros(context.shape[0], dtype=torch.float64, device=context.device)
    rows = torch.arange(context.shape[0], device=context.device)
    columns = {}
    for step in range(1, horizon + 1):
        if len(rows):
            logits, state = next_logits(model, token, state)
            law = law_of(rule, logits, model.eos)
            # log1p of the stop probability itself: summing the others in single precision loses all below 1e-7.
            total[rows] += torch.log1p(-law[:, model.eos].double().exp().clamp(max=1.0))
            law[:, model.eos] = -torch.inf
            going = ((total[rows] > negligible) & ~total[rows].isneginf()).nonzero().squeeze(1)
            if len(going) < len(rows):
                rows, law, state = rows[going], law[going], select(state, going)
            if len(rows):
                token = torch.multinomial(law.softmax(dim=1), 1, generator=generator).squeeze(1)
        if step in kept:
            columns[step] = total.clone()
    return torch.stack([columns[step] for step in kept], dim=1)
