"""Each claim of the chapter on endless decoding can be wrong: a mistake in the code it measures turns its verdict.

The chapter runs soundly once a seed. For a fault the cells from a given one up to the claim's own run again, from copies of
what they had found, so that a mistake in decoding does not wait for the training of the networks. Verdicts are pooled over
the seeds, as on the page. The smoke run trains too little for its verdicts to be those of the page (most claims are about
``quick``); they are judged here as if it were enough, and what counts is that the mistake turns the judgement.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch

from kexue.claims import Measurement, ledger, pool, verdict_of
from kexue.decoding import (
    beam,
    bounds,
    corpus,
    counterexamples,
    decode,
    envelopes,
    exact,
    heads,
    loops,
    ngram,
    repetition,
    rules,
    transformer,
)
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
    cells, seen = [], set()
    for cell in chapter(SLUG).code_cells:
        code, before = compile("\n" * (cell.line - 1) + cell.source, f"{SLUG}.md", "exec"), dict(names)
        _run(code, names)
        if "parameters" in cell.tags:
            names.update(profile="smoke", seed=seed, device="cpu")
        found = set(ledger.current().measurements) if "claims" in names else set()
        cells.append(_Cell(code, frozenset(found - seen), cell.source, before))
        seen |= found
    return tuple(cells), dict(ledger.current().measurements)


def _again(seed: int, first: str, claims: frozenset[str]) -> dict[str, Measurement]:
    """Run the cells from the one that holds the text `first` to the last that measures one of the claims."""
    cells, _ = _sound(seed)
    (begin,) = [place for place, cell in enumerate(cells) if f"\n{first}" in f"\n{cell.text}"]
    end = max(place for place, cell in enumerate(cells) if cell.claims & claims)
    names = dict(cells[begin].before)
    ledger.reset()
    (declared,) = [cell for cell in cells if "claims = declare(" in cell.text]
    _run(declared.code, names)
    for cell in cells[begin : end + 1]:
        if cell is not declared:
            _run(cell.code, names)
    return dict(ledger.current().measurements)


# --- The mistakes ---------------------------------------------------------------------------------------------------

_top_k, _nucleus, _ancestral = rules.TopK.log_law, rules.Nucleus.log_law, rules.Ancestral()
_rows, _st, _least = ngram.Ngram.rows, envelopes.self_terminating_log_survival, bounds.log_least_stop
_st_init, _beam = heads.SelfTerminating.__init__, beam.beam
_scores, _add = heads._Enveloped.scores, beam._Finished.add


def _draws(self, logits, eos, generator):
    return torch.multinomial(logits.softmax(dim=1), 1).squeeze(1)


def _one_fewer(self, logits, eos):
    return _top_k(rules.TopK(max(1, self.k - 1), self.consistent), logits, eos)


def _backwards(self, histories):
    """Histories of two words and more are looked up with the newest word first, and hardly ever found."""
    law, self.levels[1:], kept = None, [], self.levels[1:]
    try:
        law = _rows(self, histories)
    finally:
        self.levels += kept
    return law


def _always_with_eos(self, logits, eos):
    return _top_k(rules.TopK(self.k, True), logits, eos)


def _flag_ignored(self, logits, eos):
    return _nucleus(rules.Nucleus(self.mass), logits, eos)


def _cold(self, logits, eos):
    return _top_k(self, 2.0 * logits, eos)


def _not_renormalised(self, logits, eos):
    return logits.log_softmax(dim=1).masked_fill(_top_k(self, logits, eos).isneginf(), -torch.inf)


def _complement(self, logits, eos):
    return _nucleus(rules.Nucleus(1.0 - self.mass, self.consistent), logits, eos)


def _over_the_batch(self, logits, eos):
    return logits.log_softmax(dim=0)


def _clipped(self, token, state):
    (height,) = state
    height = height.clamp(max=2.0)
    return torch.stack([height, torch.zeros_like(height)], dim=1), (torch.relu(height + 1.0),)


def _from_zero(gate, epsilon):
    return _st(gate, epsilon) + torch.log1p(torch.tensor(-epsilon))


def _no_product(gate, epsilon):
    return _st(gate[..., None], epsilon)[..., 0]


def _no_square_root(weight, scale, shift, eos):
    return _least(weight * scale, weight @ shift, eos, radius=1.0, dual=2.0)


def _forgets_its_product(self, hidden, logits, state):
    factor = _st(self.gate(hidden), self.epsilon)[:, 0]
    return envelopes.share(logits, factor, self.eos), state


def _clock_stands(self, hidden, logits, state):
    gate = self.gate(hidden)
    return envelopes.share(
        logits, envelopes.non_monotonic_log_survival(gate, self.epsilon)[:, 0], self.eos
    ), state


def _post_hoc_clock_stands(self, hidden, logits, state):
    return envelopes.post_hoc(logits, 1, self.epsilon, self.eos), state


def _post_hoc_for_all(self, hidden, logits, state):
    step = (state[0] if state else 0) + 1
    return envelopes.post_hoc(logits, step, 1e-3, logits.shape[1] - 1), (step,)


def _no_envelope(self, hidden, lead):
    return torch.nn.functional.logsigmoid(-lead)


def _sign_of_nmst(self, hidden, logits, state):
    (so_far,) = state
    so_far = so_far + _st(-self.gate(hidden), self.epsilon)[:, 0]
    return envelopes.share(logits, so_far, self.eos), (so_far,)


def _sign_of_nmst_in_the_loss(self, hidden, lead):
    return _st(-self.gate(hidden)[..., 0], self.epsilon)


def _starts_at_one_half(self, hidden, eos, epsilon, bias=6.0):
    _st_init(self, hidden, eos, epsilon, 0.0)


def _going_on_is_free(self, hidden, logits, targets, eos):
    decision, word = _scores(self, hidden, logits, targets, eos)
    return heads.Scores(decision.masked_fill(targets != eos, 0.0), word)


def _half_the_period(tokens, longest=None):
    text = list(tokens)
    limit = len(text) // 3 if longest is None else longest
    return next((p for p in range(1, limit + 1) if text[p:] == text[:p]), None)


def _attention_not_added(self, stream, seen):
    inner = torch.nn.functional.gelu(self.widen(self.before_network(stream)), approximate="tanh")
    return stream + self.narrow(inner)


def _at_the_first_place(self, tokens, first):
    return self.embedding(tokens) + self.places[0]


def _matrix_power(transition):
    square = transition @ transition
    return float(
        torch.linalg.solve(
            torch.eye(len(square)).double() - torch.tensor(square), torch.tensor(square)
        ).trace()
    )


def _entrywise(transition, longest=200):
    same = repetition.repetition(transition)
    return repetition.ReturnPowers(same, same)


def _columns(transition):
    return 1.0 / (1.0 + _true_repetition(transition))


_true_repetition = repetition.repetition


def _last_words(sequences, words):
    return torch.tensor([[sequence[0], *sequence[-words - 1 : -1]] for sequence in sequences])


def _mean_scores(model, context, width, horizon, **options):
    return _beam(model, context, width, horizon, **{**options, "length_penalty": 1.0})


def _finished_once(self, contexts, prefixes, scores):
    _add(self, contexts, prefixes, scores)
    self.count[contexts] = 1


# the first cell to run again, the mistakes, the claims they turn
FAULTS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "greedy samples; top-k keeps one fewer; interpolation weights swapped": (
        "LEAGUE = {",
        {
            "rules.Greedy.log_law": lambda self, logits, eos: _ancestral.log_law(logits, eos),
            "rules.TopK.log_law": _one_fewer,
        },
        {"greedy-bigram-loops", "one-more-candidate"},
    ),
    "only the last word looked up": (
        "LEAGUE = {",
        {"ngram.Ngram.rows": _backwards},
        {"longer-memory-loops-too"},
    ),
    "top-k always keeps <eos>; logits clipped": (
        "violations, stopped_by_sampling",
        {"rules.TopK.log_law": _always_with_eos, "counterexamples.Counter.step": _clipped},
        {"truncated-decoding-can-be-inconsistent", "unbounded-state-can-leak"},
    ),
    "candidates not renormalised": (
        "fading = ",
        {"rules.TopK.log_law": _not_renormalised},
        {"model-consistency-is-not-enough"},
    ),
    "temperature left on": (
        "at_eos = [",
        {"rules.TopK.log_law": _cold},
        {"eos-in-candidate-set-restores-consistency"},
    ),
    "steps counted from 0": (
        "LIMITS = {",
        {"envelopes.self_terminating_log_survival": _from_zero},
        {"st-greedy-hard-stop", "sampling-hazard-is-superexponential"},
    ),
    "nucleus limit without the half; ε = 1/L": (
        "LIMITS = {",
        {
            "bounds.nucleus_limit": lambda mass, epsilon: bounds.first_step_above(mass, epsilon),
            "bounds.epsilon_for": lambda horizon: 1.0 / horizon,
        },
        {"topk-nucleus-beam-stop", "eps-too-small-cannot-certify"},
    ),
    "the product forgotten": (
        "LIMITS = {",
        {"envelopes.self_terminating_log_survival": _no_product},
        {"st-lower-bound-and-monotone", "st-cannot-fit-two-lengths"},
    ),
    "greedy samples": (
        "league = {",
        {"rules.Greedy.choose": _draws},
        {"greedy-does-not-stop-in-practice", "greedy-worse-than-top-k"},
    ),
    "nucleus of the complement": (
        "league = {",
        {"rules.Nucleus.log_law": _complement},
        {"greedy-worse-than-nucleus"},
    ),
    "consistency flag ignored": (
        "league = {",
        {"rules.Nucleus.log_law": _flag_ignored},
        {"consistent-sampling-zero"},
    ),
    "consistency flag ignored, in the loop": (
        "@torch.no_grad()\ndef stop_chance_in_loop",
        {"rules.Nucleus.log_law": _flag_ignored},
        {"consistent-is-asymptotic"},
    ),
    "softmax over the batch": (
        "league = {",
        {
            "rules.Ancestral.log_law": _over_the_batch,
            "beam.beam": _mean_scores,
            "beam._Finished.add": _finished_once,
        },
        {"ancestral-always-stops", "long-samples-have-looped", "beam-avoids-loops-by-dying-young"},
    ),
    "contexts from the end": (
        "words = corpus.Vocabulary",
        {"corpus.contexts": _last_words},
        {"random-contexts-are-worse"},
    ),
    "wrong dual norm": (
        "certified = bounds.log_least_stop(",
        {"bounds.log_least_stop": lambda *a, **o: _least(*a, **{**o, "dual": 2.0})},
        {"bounded-state-ancestral-terminates"},
    ),
    "the square root of the width forgotten": (
        "@torch.no_grad()\ndef bounded_by",
        {"bounds.log_least_stop_layernorm": _no_square_root},
        {"layernorm-suffices"},
    ),
    "diameter for radius": (
        "certified = bounds.log_least_stop(",
        {"bounds.log_least_stop": lambda *a, **o: _least(*a, **{**o, "radius": 2.0})},
        {"bound-is-vacuous"},
    ),
    "going on is free": (
        "costs = {",
        {"heads._Enveloped.scores": _going_on_is_free},
        {"likelihood-tax-is-a-floor", "tax-is-most-of-the-cost", "tax-ordering"},
    ),
    "gate with the other sign, in the loss": (
        "costs = {",
        {
            "heads.SelfTerminating.log_survival": _sign_of_nmst_in_the_loss,
            "heads.PostHoc.log_survival": _no_envelope,
        },
        {"st-costs-perplexity", "post-hoc-is-cheap", "perplexity-is-blind"},
    ),
    "gate with the other sign": (
        "league = {",
        {"heads.SelfTerminating.step": _sign_of_nmst},
        {"st-too-strong-stops-too-early"},
    ),
    "states not carried on": (
        "league = {",
        {
            "heads.SelfTerminating.step": _forgets_its_product,
            "heads.NonMonotonic.step": _clock_stands,
            "heads.PostHoc.step": _post_hoc_clock_stands,
        },
        {"st-within-the-certificate", "post-hoc-stops", "nmst-vanishing-r"},
    ),
    "greedy samples, states not carried on": (
        "league = {",
        {"rules.Greedy.choose": _draws, "heads.SelfTerminating.step": _forgets_its_product},
        {"small-eps-between"},
    ),
    "the post-hoc layer on every model": (
        "league = {",
        {"heads.Softmax.step": _post_hoc_for_all},
        {"plain-plateaus"},
    ),
    "half a comparison": (
        "found = [",
        {"loops.period": _half_the_period},
        {"nonterminated-outputs-loop", "loop-is-forever-certificate"},
    ),
    "matrix power": (
        "source = np.random",
        {"repetition.repetition": _matrix_power},
        {"repetition-functional"},
    ),
    "entrywise": ("swing = ", {"repetition.return_powers": _entrywise}, {"repetition-erratum"}),
    "upside": ("swing = ", {"repetition.repetition": _columns}, {"truncation-raises-repetition"}),
    "starts at one half, product": (
        "cut = settings",
        {"heads.SelfTerminating.__init__": _starts_at_one_half},
        {"nmst-beats-st"},
    ),
    "paragraphs": (
        "cut = settings",
        {
            "heads.SelfTerminating.log_survival": lambda self, hidden, lead: _no_product(
                self.gate(hidden)[..., 0], self.epsilon
            )
        },
        {"st-cannot-take-it-back"},
    ),
    "g": (
        "paragraph_contexts = corpus",
        {"rules.Greedy.choose": _draws, "heads.SelfTerminating.step": _forgets_its_product},
        {"small-eps-st-worse-than-nothing"},
    ),
    "attention not added": (
        "cut = settings",
        {
            "transformer.Block.finish": _attention_not_added,
            "transformer.Transformer._stream": _at_the_first_place,
        },
        {"self-reinforcement"},
    ),
}
FULL_ONLY = {"rnn-worse-than-lstm"}


def _plant(patch: pytest.MonkeyPatch, faults: dict[str, Any]) -> dict[str, Any]:
    """Put mistakes into classes at once; hand back those that go into modules, by full name."""
    functions = {}
    for name, fault in faults.items():
        owner, _, method = name.rpartition(".")
        if "." in owner:
            module, _, cls = owner.partition(".")
            patch.setattr(getattr(globals()[module], cls), method, fault)
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
    sound = [_sound(seed)[1] for seed in seeds]
    with planted(_plant(monkeypatch, faults)):
        after = [_again(seed, first, frozenset(turned)) for seed in seeds]
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
