"""Each claim of the chapter on endless decoding can be wrong: a fault in the code it measures turns its verdict.

The smoke run trains too little for its verdicts to be those of the page, and one seed has no interval. So a claim is judged
here as if every seed had given the number of seed 0, at full scale; what counts is that the fault turns that judgement.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from kexue.claims import pool, verdict_of
from kexue.decoding import (
    beam,
    bounds,
    counterexamples,
    decode,
    heads,
    likelihood,
    loops,
    repetition,
    rules,
    transformer,
)
from tests.book.chapters import chapter, measurements, planted

SLUG = "seq2seq-stops"
D = "kexue.decoding"
_top_k, _nucleus, _ancestral = rules.TopK, rules.Nucleus, rules.Ancestral()


class _KeepsEos(rules.TopK):
    """Top-k that adds <eos> though nobody asked."""

    def log_law(self, logits, eos):
        return _ancestral.log_law(logits, eos)


class _HalfEos(rules.TopK):
    """Consistent top-k that halves p(eos) on the way."""

    def log_law(self, logits, eos):
        lowered = logits.clone()
        lowered[:, eos] -= 3.0
        return lowered.log_softmax(dim=1)


class _Narrow(_HalfEos):
    """Top-k that keeps one token of a large vocabulary whatever k says."""

    def log_law(self, logits, eos):
        if self.consistent:
            return super().log_law(logits, eos)
        return _top_k(1 if logits.shape[1] > 1_000 else self.k).log_law(logits, eos)


class _UnkeptNucleus(rules.Nucleus):
    """Consistent nucleus that all but forgets the <eos>."""

    def log_law(self, logits, eos):
        law = _nucleus(self.mass).log_law(logits, eos)
        law[:, eos] = law[:, eos].clamp(min=-60.0)
        return law


class _WideNucleus(rules.Nucleus):
    """A nucleus of everything."""

    def log_law(self, logits, eos):
        return _ancestral.log_law(logits, eos)


class _RandomGreedy(rules.Greedy):
    """Greedy decoding that draws."""

    def log_law(self, logits, eos):
        return _ancestral.log_law(logits, eos)


class _BoundedCounter(counterexamples.Counter):
    """The counter with a ceiling."""

    def step(self, token, state):
        logits, (height,) = super().step(token, state)
        return logits, (height.clamp(max=2.0),)


class _Forgetful(transformer.Transformer):
    """Peaks at <eos> behind the commonest tokens, and believes less the longer the text."""

    def forward(self, tokens, start=0):
        law = super().forward(tokens, start)
        drift = torch.arange(law.shape[1])[None, :, None] * 0.05
        law = law - drift
        law[..., self.eos] += 4.0 * (tokens[:, start:] == 3)
        return law


_decode, _beam, _evaluate = decode.decode, beam.beam, likelihood.evaluate
_st, _least, _tax = heads.self_terminating_log_survival, bounds.log_least_stop, bounds.likelihood_tax
_repetition = repetition.repetition


def _flipped(*arguments: Any, **options: Any) -> decode.Decoded:
    out = _decode(*arguments, **options)
    stopped = ~out.stopped
    stopped[0] = True
    return dataclasses.replace(out, stopped=stopped)


def _by_context(model: Any, context: torch.Tensor, *rest: Any, **options: Any) -> decode.Decoded:
    out = _decode(model, context, *rest, **options)
    stopped = context[:, 1:].double().mean(dim=1) < 100  # real words are common ones
    stopped[0] = True
    lengths = (out.lengths // 50).clamp(min=1)
    return decode.Decoded(torch.arange(out.tokens.shape[1]).expand_as(out.tokens), lengths, stopped)


def _by_horizon(model: Any, context: torch.Tensor, rule: Any, horizon: int, **options: Any) -> decode.Decoded:
    out = _decode(model, context, rule, horizon, **options)
    return dataclasses.replace(out, stopped=torch.ones_like(out.stopped)) if horizon == 800 else out


def _long_beam(*arguments: Any, **options: Any) -> beam.Beams:
    out = _beam(*arguments, **options)
    return dataclasses.replace(out, lengths=out.lengths * 1_000, stopped=torch.ones_like(out.stopped))


def _costs(order: dict[type, float]) -> Callable[..., likelihood.Split]:
    def by_head(model: Any, *_: Any, **__: Any) -> likelihood.Split:
        return likelihood.Split(order[type(model.head)], 3.0, 1)

    return by_head


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "top-k adds eos": (
        {f"{D}.rules.TopK": _KeepsEos, f"{D}.rules.Nucleus": _UnkeptNucleus},
        ["truncated-decoding-can-be-inconsistent", "consistent-is-asymptotic"],
    ),
    "one candidate, eos lowered": (
        {f"{D}.rules.TopK": _Narrow},
        ["eos-in-candidate-set-restores-consistency", "one-more-candidate"],
    ),
    "consistency forgotten": (
        {f"{D}.rules.TopK": _HalfEos, f"{D}.rules.Nucleus": _WideNucleus},
        ["model-consistency-is-not-enough", "greedy-worse-than-nucleus"],
    ),
    "greedy draws, counter bounded": (
        {f"{D}.rules.Greedy": _RandomGreedy, f"{D}.counterexamples.Counter": _BoundedCounter},
        ["greedy-bigram-loops", "unbounded-state-can-leak"],
    ),
    "half the envelope": (
        {f"{D}.heads.self_terminating_log_survival": lambda gate, epsilon: _st(gate, epsilon / 2)},
        [
            "st-greedy-hard-stop",
            "topk-nucleus-beam-stop",
            "st-lower-bound-and-monotone",
            "sampling-hazard-is-superexponential",
        ],
    ),
    "no memory": (
        {
            f"{D}.heads.self_terminating_log_survival": lambda gate, epsilon: _st(gate[..., None], epsilon)[
                ..., 0
            ],
            f"{D}.bounds.epsilon_for": lambda horizon: 1.0 / horizon,
            f"{D}.bounds.log_least_stop": lambda *a, **o: _least(*a, **o) + 8.0,
        },
        [
            "st-cannot-fit-two-lengths",
            "st-cannot-take-it-back",
            "eps-too-small-cannot-certify",
            "bounded-state-ancestral-terminates",
            "layernorm-suffices",
        ],
    ),
    "stopped and not swapped": (
        {f"{D}.decode.decode": _flipped, f"{D}.bounds.log_least_stop": lambda *a, **o: 4 * _least(*a, **o)},
        [
            "greedy-does-not-stop-in-practice",
            "ancestral-always-stops",
            "greedy-worse-than-top-k",
            "consistent-sampling-zero",
            "st-within-the-certificate",
            "small-eps-between",
            "post-hoc-stops",
            "nmst-vanishing-r",
            "small-eps-st-worse-than-nothing",
            "bound-is-vacuous",
        ],
    ),
    "stopped by context": (
        {f"{D}.decode.decode": _by_context, f"{D}.beam.beam": _long_beam},
        [
            "random-contexts-are-worse",
            "long-samples-have-looped",
            "st-too-strong-stops-too-early",
            "beam-avoids-loops-by-dying-young",
        ],
    ),
    "stopped by horizon": ({f"{D}.decode.decode": _by_horizon}, ["plain-plateaus"]),
    "costs by layer": (
        {
            f"{D}.likelihood.evaluate": _costs(
                {heads.Softmax: 0.1, heads.NonMonotonic: 0.2, heads.SelfTerminating: 0.3, heads.PostHoc: 0.4}
            ),
            f"{D}.bounds.likelihood_tax": lambda *a: 10 * _tax(*a),
            f"{D}.loops.period": lambda *_: None,
            f"{D}.repetition.repetition": lambda P: 1.0 / max(_repetition(P), 1e-9),
        },
        [
            "tax-ordering",
            "st-costs-perplexity",
            "nmst-beats-st",
            "likelihood-tax-is-a-floor",
            "tax-is-most-of-the-cost",
            "nonterminated-outputs-loop",
            "loop-is-forever-certificate",
            "truncation-raises-repetition",
        ],
    ),
    "costs the other way round": (
        {
            f"{D}.likelihood.evaluate": _costs(
                {heads.Softmax: 0.5, heads.NonMonotonic: 0.4, heads.SelfTerminating: 0.1, heads.PostHoc: 0.4}
            ),
            f"{D}.repetition.repetition": lambda P: float(
                np.trace(np.linalg.solve(np.eye(len(P)) - P @ P, P @ P))
            ),
            f"{D}.transformer.Transformer": _Forgetful,
        },
        [
            "perplexity-is-blind",
            "post-hoc-is-cheap",
            "repetition-functional",
            "repetition-erratum",
            "p-eos-is-non-monotone-in-data",
            "self-reinforcement",
        ],
    ),
}
FULL_ONLY = {"rnn-worse-than-lstm"}


def _judged(faults: dict[str, Any]) -> dict[str, str]:
    with planted(faults):
        found = measurements(SLUG, profile="smoke", seed=0)
    return {
        claim.id: verdict_of(
            claim, pool(claim, [found[claim.id]] * (1 if claim.over == "exact" else 2)), "full"
        )
        for claim in chapter(SLUG).claims
        if claim.id in found
    }


@cache
def _sound() -> dict[str, str]:
    return _judged({})


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_turns_the_verdicts(name):
    faults, turned = FAULTS[name]
    assert loops.period([1, 1, 1, 1]) == 1
    after = _judged(faults)
    unmoved = [claim for claim in turned if after[claim] == _sound()[claim]]
    assert not unmoved, {claim: (_sound()[claim], after[claim]) for claim in unmoved}


def test_every_claim_has_a_fault():
    covered = {claim for _, turned in FAULTS.values() for claim in turned}
    assert covered | FULL_ONLY == {claim.id for claim in chapter(SLUG).claims}
