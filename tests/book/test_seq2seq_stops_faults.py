"""Each claim of the chapter on endless decoding can be wrong: a mistake in the code it measures turns its verdict.

The chapter runs soundly once a seed. For a fault the cells from a given one up to the claim's own run again, from copies of
what they had found, so that a mistake in decoding does not wait for the training of the networks. Verdicts are pooled over
the seeds, as on the page. The smoke run trains too little for its verdicts to be those of the page (most claims are about
``quick``); they are judged here as if it were enough, and what counts is that the mistake turns the judgement.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from kexue.claims import Measurement, ledger, pool, verdict_of
from kexue.decoding import beam, bounds, envelopes, heads, network, ngram, repetition, rules
from tests.book.chapters import chapter, planted

SLUG = "seq2seq-stops"
D = "kexue.decoding."
SEEDS = (0, 1)


class _Cell(NamedTuple):
    """A code cell, and the names there were when it was about to run."""

    code: Any
    claims: frozenset[str]
    text: str
    before: dict[str, Any]


def _run(code: Any, names: dict[str, Any]) -> None:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        exec(code, names)
    plt.close("all")


@cache
def _sound(seed: int) -> tuple[tuple[_Cell, ...], dict[str, Measurement]]:
    """One sound run, cell by cell."""
    names: dict[str, Any] = {"__name__": "__main__"}
    ledger.reset()
    ids, cells = [claim.id for claim in chapter(SLUG).claims], []
    for cell in chapter(SLUG).code_cells:
        code, before = compile("\n" * (cell.line - 1) + cell.source, f"{SLUG}.md", "exec"), dict(names)
        _run(code, names)
        if "parameters" in cell.tags:
            names.update(profile="smoke", seed=seed, device="cpu")
        # What a cell measures is read off its text: at the smallest sizes some are left unmeasured.
        named = {
            claim for claim in ids if f'"{claim}"' in cell.source and "claims = declare(" not in cell.source
        }
        cells.append(_Cell(code, frozenset(named), cell.source, before))
    return tuple(cells), dict(ledger.current().measurements)


def _again(
    seed: int, first: str, claims: frozenset[str], scale: dict[str, Any] | None = None
) -> dict[str, Measurement]:
    """Run the cells from the one with a line that begins with `first` to the last that measures one of the claims.

    In between, cells that only measure other claims, draw or glue are left out; what they define is the sound run's.
    `scale` changes some of the run's sizes.
    """
    cells, _ = _sound(seed)
    (begin,) = [place for place, cell in enumerate(cells) if f"\n{first}" in f"\n{cell.text}"]
    end = max(place for place, cell in enumerate(cells) if cell.claims & claims)
    names = {**cells[-1].before, **cells[begin].before}
    names["settings"] = {**names["settings"], **(scale or {})}
    ledger.reset()
    (declared,) = [cell for cell in cells if "claims = declare(" in cell.text]
    _run(declared.code, names)
    for place, cell in enumerate(cells[begin : end + 1], start=begin):
        idle = cell.claims or "plt.show()" in cell.text or "glue(" in cell.text
        if cell is not declared and (place == begin or cell.claims & claims or not idle):
            _run(cell.code, names)
    return dict(ledger.current().measurements)


# --- The mistakes ---------------------------------------------------------------------------------------------------

_ancestral, _top_k, _nucleus = rules.Ancestral.log_law, rules.TopK.log_law, rules.Nucleus.log_law
_st, _nmst_init = envelopes.self_terminating_log_survival, heads.NonMonotonic.__init__
_scores, _softmax_scores = heads._Enveloped.scores, heads.Softmax.scores
_least, _rows, _repetition = bounds.log_least_stop, ngram.Ngram.rows, repetition.repetition
_beam, _add = beam.beam, beam._Finished.add
_forward = network.Network.forward


def _draws(self, logits, eos, generator):
    return torch.multinomial(logits.softmax(dim=1), 1).squeeze(1)


def _one_fewer(self, logits, eos):
    return _top_k(rules.TopK(max(1, self.k - 1), self.consistent), logits, eos)


def _always_with_eos(self, logits, eos):
    return _top_k(rules.TopK(self.k, True), logits, eos)


def _never_with_eos(self, logits, eos):
    return _top_k(rules.TopK(self.k), logits, eos)


def _not_renormalised(self, logits, eos):
    return logits.log_softmax(dim=1).masked_fill(_top_k(self, logits, eos).isneginf(), -torch.inf)


def _complement(self, logits, eos):
    return _nucleus(rules.Nucleus(1.0 - self.mass, self.consistent), logits, eos)


def _flag_ignored(self, logits, eos):
    return _nucleus(rules.Nucleus(self.mass), logits, eos)


def _last_word_only(self, histories):
    longer, self.levels = self.levels, self.levels[:1]
    law = _rows(self, histories)
    self.levels = longer
    return law


def _clipped(self, token, state):
    height = state[0].clamp(max=2.0)
    return torch.stack([height, torch.zeros_like(height)], dim=1), (torch.relu(height + 1.0),)


def _from_zero(gate, epsilon):
    return _st(gate, epsilon) + math.log1p(-epsilon)


def _no_product(gate, epsilon):
    return _st(gate[..., None], epsilon)[..., 0]


def _no_square_root(weight, scale, shift, eos):
    return _least(weight * scale, weight @ shift, eos, radius=1.0, dual=2.0)


def _forgets_its_product(self, hidden, logits, state):
    return envelopes.share(logits, _st(self.gate(hidden), self.epsilon)[:, 0], self.eos), state


def _clock_stands(self, hidden, logits, state):
    survival = envelopes.non_monotonic_log_survival(self.gate(hidden), self.epsilon)[:, 0]
    return envelopes.share(logits, survival, self.eos), state


def _post_hoc_clock_stands(self, hidden, logits, state):
    return envelopes.post_hoc(logits, 1, self.epsilon, self.eos), state


def _post_hoc_for_all(self, hidden, logits, state, epsilon=1e-3):
    step = (state[0] if state else 0) + 1
    return envelopes.post_hoc(logits, step, epsilon, logits.shape[1] - 1), (step,)


def _sign_of_nmst(self, hidden, logits, state):
    so_far = state[0] + _st(-self.gate(hidden), self.epsilon)[:, 0]
    return envelopes.share(logits, so_far, self.eos), (so_far,)


def _going_on_is_free(self, hidden, word, lead, ends):
    decision, word = _scores(self, hidden, word, lead, ends)
    return heads.Scores(decision.masked_fill(~ends, 0.0), word)


def _decision_reversed(self, hidden, word, lead, ends):
    decision, word = _softmax_scores(self, hidden, word, lead, ends)
    return heads.Scores(torch.log(-torch.expm1(decision)), word)


def _penalised(self, tokens, start=0):
    seen = torch.nn.functional.one_hot(tokens, self.vocabulary).cumsum(dim=1).clamp(max=1)
    return (_forward(self, tokens, start) - 3.0 * seen[:, start:]).log_softmax(dim=2)


def _looks_back(self, tokens, start=0):
    """A word's chance in proportion to how often it has followed the two before it."""
    pairs = tokens.roll(1, dims=1) * self.vocabulary + tokens
    earlier = (pairs[:, :, None] == pairs[:, None, :]).tril(-1).float()
    following = torch.nn.functional.one_hot(tokens, self.vocabulary).roll(-1, dims=1).float()
    return (_forward(self, tokens, start) + torch.log1p(99.0 * (earlier @ following))[:, start:]).log_softmax(
        2
    )


def _percentage(self, hidden, logits, state):
    so_far = state[0] + _st(self.gate(hidden), min(100.0 * self.epsilon, 0.99))[:, 0]
    return envelopes.share(logits, so_far, self.eos), (so_far,)


def _against_its_beginning(tokens, longest=None):
    text = list(tokens)
    limit = len(text) // 3 if longest is None else longest
    return next((p for p in range(1, limit + 1) if text[p:] == text[:p]), None)


def _matrix_power(transition):
    square = transition @ transition
    return float(np.trace(np.linalg.solve(np.eye(len(square)) - square, square)))


def _entrywise(transition, longest=200):
    return repetition.ReturnPowers(_repetition(transition), _repetition(transition))


def _mean_scores(model, context, width, horizon, **options):
    return _beam(model, context, width, horizon, **{**options, "length_penalty": 1.0})


def _padding_counted(model, context, width, horizon, **options):
    found = _beam(model, context, width, horizon, **options)
    return dataclasses.replace(found, lengths=torch.full_like(found.lengths, horizon))


def _finished_once(self, contexts, prefixes, scores):
    _add(self, contexts, prefixes, scores)
    self.count[contexts] = 1


def _last_words(sequences, words):
    return torch.tensor([[sequence[0], *sequence[-words - 1 : -1]] for sequence in sequences])


def _multiplied_up(self, hidden, lead):
    return _st(-self.gate(hidden)[..., 0], self.epsilon)


def _norm(**wrong):
    return lambda *arguments, **options: _least(*arguments, **{**options, **wrong})


ST_SIGN = {
    "heads.SelfTerminating.log_survival": lambda self, hidden, lead: _st(
        -self.gate(hidden)[..., 0], self.epsilon
    )
}
SAMPLES = {"rules.Greedy.choose": _draws}
FORGETS = {"heads.SelfTerminating.step": _forgets_its_product}

# the first cell to run again, the mistakes, the claims they turn
FAULTS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "greedy decoding at temperature 1; top-k keeps one fewer": (
        "LEAGUE = {",
        {"rules.Greedy.log_law": lambda self, *law: _ancestral(self, *law), "rules.TopK.log_law": _one_fewer},
        {"greedy-bigram-loops", "one-more-candidate"},
    ),
    "only the last word looked up": (
        "memories = []",
        {"ngram.Ngram.rows": _last_word_only},
        {"longer-memory-loops-too"},
    ),
    "top-k always keeps <eos>; logits clipped for safety": (
        "violations, stopped_by_sampling",
        {"rules.TopK.log_law": _always_with_eos, "counterexamples.Counter.step": _clipped},
        {"truncated-decoding-can-be-inconsistent", "unbounded-state-can-leak"},
    ),
    "the consistency of top-k and nucleus sampling ignored": (
        "violations, stopped_by_sampling",
        {"rules.TopK.log_law": _never_with_eos, "rules.Nucleus.log_law": _flag_ignored},
        {"eos-back-stops-the-counterexample"},
    ),
    "candidates not renormalised": (
        "fading = ",
        {"rules.TopK.log_law": _not_renormalised},
        {"model-consistency-is-not-enough"},
    ),
    "a temperature of one half left on": (
        "at_eos = [",
        {"rules.TopK.log_law": lambda self, logits, eos: _top_k(self, 2.0 * logits, eos)},
        {"eos-in-candidate-set-restores-consistency"},
    ),
    "steps of the envelope counted from 0": (
        "one = torch",
        {"envelopes.self_terminating_log_survival": _from_zero},
        {"st-greedy-hard-stop", "sampling-hazard-is-superexponential", "eps-too-small-cannot-certify"},
    ),
    "nucleus limit without the half, beam limit without its width": (
        "one = torch",
        {
            "bounds.nucleus_limit": bounds.first_step_above,
            "bounds.beam_limit": lambda width, epsilon: bounds.greedy_limit(epsilon),
        },
        {"topk-nucleus-beam-stop"},
    ),
    "ST's product forgotten": (
        "largest_fall",
        {"envelopes.self_terminating_log_survival": _no_product},
        {"st-lower-bound-and-monotone", "st-cannot-fit-two-lengths"},
    ),
    "greedy decoding samples; ST's product not carried on": (
        "league = {",
        {**SAMPLES, **FORGETS},
        {"greedy-does-not-stop-in-practice", "greedy-worse-than-top-k", "small-eps-between"},
    ),
    "a nucleus of the complement; a temperature of one tenth; beams compared by means, one finish a context; ST's sign": (
        "league = {",
        {
            "rules.Nucleus.log_law": _complement,
            "rules.Ancestral.log_law": lambda self, logits, eos: (10 * logits).log_softmax(dim=1),
            "beam.beam": _mean_scores,
            "beam._Finished.add": _finished_once,
            "heads.SelfTerminating.step": _sign_of_nmst,
        },
        {
            "greedy-worse-than-nucleus",
            "nucleus-order",
            "ancestral-always-stops",
            "long-samples-have-looped",
            "beam-avoids-loops-by-dying-young",
            "st-too-strong-stops-too-early",
        },
    ),
    "consistency flag ignored; states not carried on": (
        "league = {",
        {
            "rules.Nucleus.log_law": _flag_ignored,
            **FORGETS,
            "heads.PostHoc.step": _post_hoc_clock_stands,
        },
        {
            "consistent-sampling-zero",
            "consistent-is-asymptotic",
            "nmst-runs-on-where-st-stops",
            "st-within-the-certificate",
            "post-hoc-stops",
        },
    ),
    "the maximum norm for its dual, and the cube's edge halved": (
        "certified = bounds.log_least_stop(",
        {"bounds.log_least_stop": _norm(dual=math.inf, radius=0.5)},
        {"bounded-state-ancestral-terminates"},
    ),
    "the cube's diameter for its radius": (
        "certified = bounds.log_least_stop(",
        {"bounds.log_least_stop": _norm(radius=2.0)},
        {"bound-is-vacuous"},
    ),
    "LayerNorm's square root of the width forgotten": (
        "@torch.no_grad()\ndef bounded_by_layernorm",
        {"bounds.log_least_stop_layernorm": _no_square_root},
        {"layernorm-suffices"},
    ),
    "only the <eos> is counted, not the going on": (
        "costs = {",
        {"heads._Enveloped.scores": _going_on_is_free},
        {"likelihood-tax-is-a-floor", "tax-is-most-of-the-cost", "st-perplexity-order"},
    ),
    "post-hoc without its envelope; softmax stops with the chance to go on": (
        "costs = {",
        {
            "heads.PostHoc.log_survival": lambda self, hidden, lead: torch.nn.functional.logsigmoid(-lead),
            "heads.Softmax.scores": _decision_reversed,
        },
        {"post-hoc-is-cheap"},
    ),
    "post-hoc's clock stands": (
        "words = corpus.Vocabulary.of(",
        {"heads.PostHoc.step": _post_hoc_clock_stands},
        {"perplexity-is-blind"},
    ),
    "ST's gate with NMST's sign, in the loss": (
        "costs = {",
        ST_SIGN,
        {"tax-ordering", "st-costs-perplexity", "nmst-perplexity-below-st"},
    ),
    "NMST's clock stands; the post-hoc layer on every model": (
        "SMALL = ",
        {"heads.NonMonotonic.step": _clock_stands, "heads.Softmax.step": _post_hoc_for_all},
        {"nmst-vanishing-r", "plain-plateaus"},
    ),
    "a text compared with its own beginning": (
        "found = [",
        {"loops.period": _against_its_beginning},
        {"nonterminated-outputs-loop", "loop-is-forever-certificate"},
    ),
    "matrix powers for entrywise ones, and the other way round": (
        "source = np.random",
        {"repetition.repetition": _matrix_power, "repetition.return_powers": _entrywise},
        {"repetition-functional", "repetition-erratum"},
    ),
    "the weight of no repetition": (
        "common = ",
        {"repetition.repetition": lambda transition: 1.0 / (1.0 + _repetition(transition))},
        {"truncation-raises-repetition"},
    ),
    "NMST starts at one half": (
        "cut = settings",
        {
            "heads.NonMonotonic.__init__": lambda self, hidden, eos, epsilon: _nmst_init(
                self, hidden, eos, epsilon, 0.0
            )
        },
        {"nmst-beats-st"},
    ),
    "ST's product forgotten, in paragraphs": (
        "tokens, lengths = ",
        {
            "heads.SelfTerminating.log_survival": lambda self, hidden, lead: _no_product(
                self.gate(hidden)[..., 0], self.epsilon
            )
        },
        {"st-cannot-take-it-back"},
    ),
    "the post-hoc layer left on the plain model; ST's product not carried on, in paragraphs": (
        "paragraph_contexts = corpus",
        {**FORGETS, "heads.Softmax.step": lambda *step: _post_hoc_for_all(*step, epsilon=1e-2)},
        {"small-eps-st-worse-than-nothing", "small-eps-st-worse-sampling"},
    ),
    "contexts cut from the end of their sentences": (
        "words = corpus.Vocabulary.of(",
        {"corpus.contexts": _last_words},
        {"random-contexts-are-worse"},
    ),
    "NMST's gate multiplied up like ST's": (
        "cut = settings",
        {"heads.NonMonotonic.log_survival": _multiplied_up},
        {"p-eos-is-non-monotone-in-data"},
    ),
    "a repetition penalty left on": (
        "def self_reinforcement",
        {"network.Network.forward": _penalised},
        {"self-reinforcement"},
    ),
    "a cache of what followed left on": (
        "def self_reinforcement",
        {"network.Network.forward": _looks_back},
        {"self-reinforcement-grows"},
    ),
    "padding counted in a beam's length; ε read as a percentage": (
        "words = corpus.Vocabulary.of(",
        {"beam.beam": _padding_counted, "heads.SelfTerminating.step": _percentage},
        {"beam-ends-before-greedy", "strong-epsilon-shortens"},
    ),
}
FULL_ONLY = {"rnn-worse-than-lstm"}
# Where the smoke run trains too little to be told from a mistake, the cheapest sizes at which it can: they replace the run's
# own in the sound run and in the faulty one alike.
SCALES: dict[str, dict[str, Any]] = {
    "contexts cut from the end of their sentences": {"sentences": 4_000, "shared": 3, "own": 1},
    "padding counted in a beam's length; ε read as a percentage": {
        "words": 1_000,
        "hidden": 64,
        "sentences": 3_000,
        "shared": 3,
        "own": 1,
        "epsilons": (1e-2, 1e-4),
    },
    "the post-hoc layer left on the plain model; ST's product not carried on, in paragraphs": {
        "paragraph_horizon": 300
    },
    "post-hoc's clock stands": {
        "horizon": 1_500
    },  # at a shorter one the guarantee costs more than 1 % of perplexity
    "NMST's gate multiplied up like ST's": {
        "paragraph": 120,
        "paragraphs": None,
        "paragraph_epochs": (1, 1),
        "stream": 32,
    },
}
# Claims that a mistake need not turn, but whose cell makes what a later one looks at.
ON_THE_WAY = {
    "post-hoc's clock stands": {"greedy-does-not-stop-in-practice"},
    "contexts cut from the end of their sentences": {"greedy-does-not-stop-in-practice"},
    "padding counted in a beam's length; ε read as a percentage": {"greedy-does-not-stop-in-practice"},
}


def _plant(patch: pytest.MonkeyPatch, faults: dict[str, Any]) -> dict[str, Any]:
    """Put mistakes into classes at once; hand back those that go into modules, by full name."""
    functions = {}
    for name, fault in faults.items():
        owner, _, method = name.rpartition(".")
        if "." in owner:
            module, _, cls = owner.partition(".")
            patch.setattr(getattr(import_module(D + module), cls), method, fault)
        else:
            functions[D + name] = fault
    return functions


def _verdicts(runs: list[dict[str, Measurement]], wanted: set[str]) -> dict[str, str]:
    return {
        claim.id: verdict_of(claim, pool(claim, [run[claim.id] for run in runs if claim.id in run]), "full")
        for claim in chapter(SLUG).claims
        if claim.id in wanted
    }


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_turns_the_verdicts(name, monkeypatch):
    first, faults, turned = FAULTS[name]
    over = {claim.id: claim.over for claim in chapter(SLUG).claims}
    seeds = SEEDS if any(over[claim] != "exact" for claim in turned) else SEEDS[:1]
    scale, measured = SCALES.get(name), frozenset(turned | ON_THE_WAY.get(name, set()))
    if scale is None:
        sound = [_sound(seed)[1] for seed in seeds]
    else:
        sound = [_again(seed, first, measured, scale) for seed in seeds]
    with planted(_plant(monkeypatch, faults)):
        after = [_again(seed, first, measured, scale) for seed in seeds]
    before, now = _verdicts(sound, turned), _verdicts(after, turned)
    unmoved = {
        claim: (
            before[claim],
            [run[claim].values for run in sound if claim in run],
            [run[claim].values for run in after if claim in run],
        )
        for claim in turned
        if before[claim] == now[claim]
    }
    assert not unmoved


def test_every_claim_has_a_mistake():
    covered = {claim for _, _, turned in FAULTS.values() for claim in turned}
    assert covered | FULL_ONLY == {claim.id for claim in chapter(SLUG).claims}
    assert set(SCALES) | set(ON_THE_WAY) <= set(FAULTS)
