"""Decoders as maps from p to q."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.decoding.rules import Ancestral, Greedy, Nucleus, TopK, nucleus

logits = st.lists(st.lists(st.floats(-8, 8, width=32), min_size=5, max_size=5), min_size=1, max_size=4).map(
    lambda rows: torch.tensor(rows, dtype=torch.float32)
)
rules = st.sampled_from(
    [
        Greedy(),
        Ancestral(),
        TopK(1),
        TopK(2),
        TopK(5),
        Nucleus(0.2),
        Nucleus(0.9),
        TopK(1, consistent=True),
        TopK(3, consistent=True),
        Nucleus(0.3, consistent=True),
    ]
)


@settings(deadline=None)
@given(logits, rules, st.integers(0, 4))
def test_every_law_sums_to_one_and_keeps_the_best_token(scores, rule, eos):
    law = rule.log_law(scores, eos).exp()
    torch.testing.assert_close(law.sum(dim=1), torch.ones(len(scores)))
    best = scores >= scores.amax(dim=1, keepdim=True) - 1e-6  # closer ones are ties once normalised
    assert bool(((law > 0) & best).any(dim=1).all())


@settings(deadline=None)
@given(logits, st.integers(0, 4), st.integers(1, 5), st.floats(0.05, 0.95))
def test_consistent_rules_never_lower_the_stop_probability(scores, eos, k, mass):
    stop = scores.log_softmax(dim=1)[:, eos]
    for rule in (TopK(k, consistent=True), Nucleus(mass, consistent=True)):
        assert bool((rule.log_law(scores, eos)[:, eos] >= stop - 1e-5).all())


@settings(deadline=None)
@given(logits, st.floats(0.05, 0.95))
def test_the_nucleus_is_the_smallest_prefix_above_the_mass(scores, mass):
    law = scores.log_softmax(dim=1)
    for row, kept in zip(law.exp(), nucleus(law, mass), strict=True):
        inside = row[kept].sort(descending=True).values
        assert inside.sum() > mass - 1e-6
        assert inside[:-1].sum() <= mass + 1e-6
        assert kept.sum() == 5 or row[~kept].max() <= inside[-1]


def test_the_nucleus_sorts_further_when_64_tokens_are_not_enough():
    law = torch.full((2, 1000), -math.log(1000.0))
    law[1, 7] = 3.0
    law = law.log_softmax(dim=1)
    kept = nucleus(law, 0.5)
    assert 499 <= int(kept[0].sum()) <= 502
    assert kept[1].nonzero().flatten().tolist()[0] == 7
    assert bool(kept[1, 7])


@pytest.mark.parametrize(("mass", "stays"), [(0.8, True), (0.79, False), (0.81, True)])
def test_the_strict_convention_at_the_edge(mass, stays):
    # Cumulative masses ½, ¾, 1 are exact in binary: with mass ¾ the third token stays, because ¾ is not above ¾.
    law = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert int(nucleus(law, 0.75).sum()) == 3
    assert int(nucleus(law, 0.74).sum()) == 2
    three = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    assert bool(nucleus(three, mass)[0, 2]) == stays


def test_zero_and_one_are_probabilities():
    scores = torch.tensor([[0.0, -torch.inf, -torch.inf], [0.0, 0.0, -torch.inf]])
    generator = torch.Generator().manual_seed(0)
    for rule in (Greedy(), Ancestral(), TopK(2), Nucleus(0.5), TopK(1, True), Nucleus(0.5, True)):
        assert rule.choose(scores, 2, generator)[0] == 0
        assert rule.log_law(scores, 2)[0, 0] == pytest.approx(0.0, abs=1e-7)


def test_draws_follow_the_law():
    scores = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).repeat(20_000, 1)
    generator = torch.Generator().manual_seed(3)
    for rule in (Ancestral(), TopK(2), Nucleus(0.8)):
        share = rule.choose(scores, 0, generator).bincount(minlength=4) / len(scores)
        torch.testing.assert_close(share, rule.log_law(scores[:1], 0)[0].exp(), atol=0.015, rtol=0)


def test_a_word_without_mass_is_never_drawn_and_a_rare_one_is():
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, -4.0, -torch.inf]]).repeat(50_000, 1)
    drawn = Ancestral().choose(scores, 0, torch.Generator().manual_seed(5)).bincount(minlength=5)
    assert drawn[[0, 2, 4]].tolist() == [0, 0, 0]
    assert float(drawn[3] / 50_000) == pytest.approx(1 / (1 + math.exp(4.0)), rel=0.15)


@pytest.mark.parametrize("rule", [Greedy(), Ancestral(), TopK(2), Nucleus(0.5)])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_broken_logits_are_refused_by_name(rule, bad):
    scores = torch.zeros(2, 4)
    scores[1, 2] = bad
    with pytest.raises(ValueError, match="logits of row 1"):
        rule.choose(scores, 0, torch.Generator())
    with pytest.raises(ValueError, match="logits of row 0"):
        rule.log_law(torch.full((1, 4), -torch.inf), 0)


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="k is 0"):
        TopK(0)
    with pytest.raises(ValueError, match="k is 6, want at most the vocabulary's 5"):
        TopK(6).log_law(torch.zeros(1, 5), 0)
    for mass in (0.0, 1.0, -0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="mass is"):
            Nucleus(mass)
    with pytest.raises(ValueError, match="generator is None"):
        Ancestral().choose(torch.zeros(1, 5), 0, None)
