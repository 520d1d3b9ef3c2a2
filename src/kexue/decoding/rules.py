"""Decoders as maps: the model's next-token law ``p`` in, the law ``q`` the decoder really draws from out.

A rule that keeps a strict subset of the vocabulary is *incomplete* (Welleck et al.); the ``consistent`` variants of
top-k and nucleus always keep ``<eos>`` as well, so that ``q(eos) = p(eos) / p(kept) >= p(eos)``.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kexue.checks import returned
from kexue.decoding.protocol import check_logits


@runtime_checkable
class Rule(Protocol):
    """A decoding rule that looks at one step at a time."""

    def log_law(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log q``, normalised; −∞ outside the candidates."""
        ...

    def choose(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int, generator: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """One token per row, drawn from ``q``."""
        ...


def law_of(
    rule: Rule, logits: Float[Tensor, "batch vocabulary"], eos: int
) -> Float[Tensor, "batch vocabulary"]:
    """``rule.log_law``, checked to have the shape of the logits.

    Args:
        rule: the decoder.
        logits: the model's.
        eos: the index of ``<eos>``.

    Raises:
        ValueError: when the rule returns another shape.
    """
    return returned("rule.log_law", rule.log_law(logits, eos), logits.shape, logits.shape)


def _draw(
    log_law: Float[Tensor, "batch vocabulary"], generator: torch.Generator | None
) -> Int[Tensor, " batch"]:
    """One token per row by the inverse of its distribution function, in double precision.

    One random number per row, where ``torch.multinomial`` draws one per token of the vocabulary. A token without mass is
    never drawn: the sum has to rise above ``u``, which is below the whole mass.
    """
    if generator is None:
        raise ValueError("generator is None, want a torch.Generator: this rule draws at random")
    below = log_law.exp().cumsum(dim=1, dtype=torch.float64)
    u = torch.rand(len(below), 1, generator=generator, dtype=torch.float64, device=below.device)
    return torch.searchsorted(below, u * below[:, -1:], right=True).squeeze(1)


@dataclass(frozen=True)
class Greedy:
    """The most likely token, the first one on ties: ``q`` is a point mass."""

    def log_law(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log q``: 0 at the arg max, −∞ elsewhere."""
        check_logits(logits)
        law = torch.full_like(logits, -torch.inf)
        return law.scatter_(1, logits.argmax(dim=1, keepdim=True), 0.0)

    def choose(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int, generator: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """The arg max of every row."""
        if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
            # numpy's search is a vector operation and ten times as fast; NaN counts as the largest in both
            token = torch.from_numpy(logits.detach().numpy().argmax(axis=1))
            best = logits.gather(1, token[:, None])
        else:
            best, token = logits.max(dim=1)
        if not math.isfinite(float(best.sum())):  # one pass; a finite sum has finite terms
            check_logits(logits)
        return token


@dataclass(frozen=True)
class Ancestral:
    """``q = p``: the only complete rule here."""

    def log_law(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log p``."""
        check_logits(logits)
        return logits.log_softmax(dim=1)

    def choose(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int, generator: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """One draw per row."""
        return _draw(self.log_law(logits, eos), generator)


@dataclass(frozen=True)
class TopK:
    """The ``k`` most likely tokens, renormalised; ``consistent`` adds ``<eos>`` to them.

    Exactly ``k`` tokens stay. transformers and the paper's code also keep what ties with the k-th; on a trained network
    ties do not happen.

    Source: Fan et al. 2018; the consistent version: Welleck et al. 2020, section 4.1.
    """

    k: int
    consistent: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k is {self.k}, want at least 1")

    def log_law(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log q``: ``p`` on the candidates, renormalised."""
        check_logits(logits)
        if self.k > logits.shape[1]:
            raise ValueError(f"k is {self.k}, want at most the vocabulary's {logits.shape[1]} tokens")
        values, places = logits.topk(self.k, dim=1)
        kept = torch.full_like(logits, -torch.inf).scatter_(1, places, values)
        if self.consistent:
            kept[:, eos] = logits[:, eos]
        return kept.log_softmax(dim=1)

    def choose(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int, generator: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """One draw per row."""
        return _draw(self.log_law(logits, eos), generator)


@dataclass(frozen=True)
class Nucleus:
    """The smallest set of most likely tokens whose mass *strictly exceeds* ``mass``, renormalised.

    A token is dropped when the mass of the tokens before it already exceeds ``mass``; the first always stays. This is
    the convention of the paper's code; transformers stops at ``>= top_p``, which differs only at equality.
    ``consistent`` adds ``<eos>`` to the set.

    Source: Holtzman et al. 2020; the consistent version: Welleck et al. 2020, section 4.1.
    """

    mass: float
    consistent: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.mass < 1.0:
            raise ValueError(f"mass is {self.mass}, want a number inside (0, 1)")

    def log_law(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log q``: ``p`` on the nucleus, renormalised."""
        check_logits(logits)
        law = logits.log_softmax(dim=1)
        outside = ~nucleus(law, self.mass)
        if self.consistent:
            outside[:, eos] = False
        return law.masked_fill_(outside, -torch.inf).log_softmax(dim=1)

    def choose(
        self, logits: Float[Tensor, "batch vocabulary"], eos: int, generator: torch.Generator | None
    ) -> Int[Tensor, " batch"]:
        """One draw per row."""
        return _draw(self.log_law(logits, eos), generator)


def nucleus(log_law: Float[Tensor, "batch vocabulary"], mass: float) -> Bool[Tensor, "batch vocabulary"]:
    """Membership in the smallest set of most likely tokens whose mass strictly exceeds ``mass``.

    Only the 8, then the 64 most likely tokens are sorted as long as they are enough; rows that need more in full.

    Args:
        log_law: normalised log-probabilities, shape (batch, vocabulary).
        mass: μ, in (0, 1).

    Returns:
        True for the kept tokens.
    """
    vocabulary = log_law.shape[1]
    kept = torch.zeros_like(log_law, dtype=torch.bool)
    rows, law = torch.arange(log_law.shape[0], device=log_law.device), log_law
    for width in (8, 64, vocabulary):
        values, places = law.topk(min(width, vocabulary), dim=1)
        probabilities = values.exp()
        before = probabilities.cumsum(dim=1) - probabilities
        inside = before <= mass
        # A prefix of `width` tokens decides a row as soon as its last token is already outside.
        decided = ~inside[:, -1] if width < vocabulary else torch.ones_like(inside[:, -1])
        if bool(decided.all()):
            kept[rows] = torch.zeros_like(law, dtype=torch.bool).scatter_(1, places, inside)
            break
        mask = torch.zeros(int(decided.sum()), vocabulary, dtype=torch.bool, device=log_law.device)
        kept[rows[decided]] = mask.scatter_(1, places[decided], inside[decided])
        rows, law = rows[~decided], law[~decided]
    return kept
