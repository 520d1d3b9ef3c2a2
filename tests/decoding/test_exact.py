"""Exact termination, counter-examples, estimators, loops, repetition: oracles in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.decoding import counterexamples, estimators, exact, loops, repetition
from kexue.decoding.beam import beam
from kexue.decoding.corpus import Vocabulary, contexts, padded, paragraphs, sentences
from kexue.decoding.decode import decode
from kexue.decoding.likelihood import evaluate
from kexue.decoding.ngram import Markov, Ngram
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.rules import Ancestral, Greedy, Nucleus, TopK
from kexue.decoding.training import fit

ONE = torch.zeros(1, 1, dtype=torch.int64)
BOTH = torch.tensor([[0], [1]])
# From a: (a ½, b .3, eos .2); from b: (a .3, b .6, eos .1). Tokens a, b, eos.
EDGE = Markov(torch.tensor([[0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [1.0, 0.0, 0.0]], dtype=torch.float64), 2)


def test_the_two_state_chain():
    def chain(rule):
        return exact.decoded_chain(EDGE, rule, BOTH)

    assert exact.termination(chain(Ancestral())) == pytest.approx([1.0, 1.0])
    assert exact.termination(chain(TopK(2))).tolist() == [0.0, 0.0]
    assert exact.termination(chain(TopK(1, consistent=True))) == pytest.approx([1, 1])
    # From a the masses are .5, .8, 1: mass 0.81 keeps <eos>, 0.79 drops it.
    assert chain(Nucleus(0.81)).stop[0] > 0
    assert chain(Nucleus(0.79)).stop[0] == 0
    assert chain(Greedy()).law(torch.tensor([[0], [0], [1], [0]])).tolist() == [0.75, 0.25]
    with pytest.raises(ValueError, match=r"histories holds \[2\]"):
        chain(Greedy()).law(torch.tensor([[2]]))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_termination_solves_its_equation_and_is_the_limit_of_survival(seed, size):
    source = np.random.default_rng(seed)
    law = source.dirichlet(np.full(size + 1, 0.3), size=size + 1)
    law[law < 0.15] = 0.0
    law /= law.sum(axis=1, keepdims=True)
    model = Markov(torch.from_numpy(law), size)
    chain = exact.decoded_chain(model, Ancestral(), torch.arange(size)[:, None])
    x = exact.termination(chain)
    np.testing.assert_allclose(chain.stop + chain.moves @ x, x, atol=1e-9)
    for state in (0, size - 1):
        start = np.eye(size)[state]
        curve = exact.survival(chain, start, 3_000)
        assert (np.diff(curve) <= 1e-12).all()
        assert curve[-1] == pytest.approx(1 - x[state], abs=1e-6)


def test_enumeration_agrees_with_the_chain_and_with_both_estimators():
    curve = exact.survival(exact.decoded_chain(EDGE, Ancestral(), BOTH), np.array([1.0, 0]), 12)
    np.testing.assert_allclose(exact.enumerated_survival(EDGE, ONE, Ancestral(), 12), curve)
    crowd = torch.zeros(4_000, 1, dtype=torch.int64)
    logs = estimators.log_survival(
        EDGE, crowd, Ancestral(), 12, torch.Generator().manual_seed(0), grid=[4, 12]
    )
    weights = logs.exp().numpy()
    for column, L in enumerate((4, 12)):
        error = weights[:, column].std() / math.sqrt(len(crowd))
        assert weights[:, column].mean() == pytest.approx(curve[L], abs=4 * error)
        assert weights[:, column].std() <= math.sqrt(curve[L] * (1 - curve[L]))


def test_the_leaky_counter():
    curve = exact.enumerated_survival(counterexamples.Counter(), ONE, Ancestral(), 50)
    assert curve[-1] == pytest.approx(0.29799, abs=1e-5)
    assert counterexamples.Counter.leak() == pytest.approx(curve[-1], rel=1e-9)
    crowd = torch.zeros(20_000, 1, dtype=torch.int64)
    out = decode(
        counterexamples.Counter(), crowd, Ancestral(), 60, generator=torch.Generator().manual_seed(1)
    )
    assert 1 - float(out.stopped.double().mean()) == pytest.approx(0.29799, abs=4 * 0.00324)


def test_a_consistent_model_is_not_enough():
    model, generator = counterexamples.FadingStop(), torch.Generator().manual_seed(2)
    logs = estimators.log_survival(model, ONE, TopK(1, consistent=True), 60, generator)
    assert float(logs.exp()) == pytest.approx(0.7404, abs=5e-5)
    assert counterexamples.FadingStop.never() == pytest.approx(float(logs.exp()), rel=1e-6)
    crowd = torch.zeros(500, 1, dtype=torch.int64)
    assert decode(model, crowd, Ancestral(), 300, generator=generator).stopped.all()


@pytest.mark.parametrize("size", [2, 5, 12])
def test_eos_is_always_last(size):
    model = counterexamples.AlwaysLast(size, 3, torch.Generator().manual_seed(size))
    generator = torch.Generator().manual_seed(0)
    begin = torch.zeros(4, 1, dtype=torch.int64)
    for k in {1, 2, size - 1} - {size}:
        assert not decode(model, begin, TopK(k), 500, generator=generator).stopped.any()
    if size > 2:
        assert not beam(model, begin, 2, 50).stopped.any()
    out = decode(model, begin, TopK(1, consistent=True), 20_000, generator=generator)
    assert out.stopped.all()


def test_forbidden_stops_are_kept_apart_from_slow_ones():
    logs = estimators.log_survival(EDGE, ONE, TopK(2), 30, torch.Generator().manual_seed(0))
    assert float(logs) == 0.0
    sure = Markov(torch.tensor([[0.0, 1.0], [0.5, 0.5]]), 1)
    assert float(estimators.log_survival(sure, ONE, Greedy(), 3, torch.Generator())) == -math.inf


def test_intervals_and_tests():
    nothing = estimators.clopper_pearson(0, 1000)
    assert nothing.high == pytest.approx(1 - 0.05 ** (1 / 1000), rel=1e-6)
    assert estimators.wilson(0, 1000).high == pytest.approx(0.0038, abs=1e-4)
    assert estimators.wilson(10, 1000).low == pytest.approx(0.0054, abs=1e-4)
    assert estimators.clopper_pearson(3, 10).low < 0.3 < estimators.clopper_pearson(3, 10).high
    a, b = np.array([True] * 8 + [False] * 4), np.array([False] * 12)
    assert estimators.mcnemar(a, b) == pytest.approx(2 / 2**8)
    assert estimators.mcnemar(b, b) == 1.0
    assert estimators.sign_test([1, 2, 3, 0]) == pytest.approx(0.25)
    assert estimators.sign_test([0.0]) == 1.0


def test_periods_and_cycles():
    assert loops.period([1, 2] * 6) == 2
    assert loops.period([1] * 9) == 1
    assert loops.period(list(range(9))) is None
    assert loops.cycle([7, 1, 2, 3, 1, 2, 3, 1, 2, 3][1:]) == (1, 2, 3)
    assert loops.cycle([3, 1, 2] * 4) == (1, 2, 3) == loops.cycle([2, 3, 1] * 4)


def test_a_certificate_is_given_to_a_loop_and_refused_to_a_clock():
    from kexue.decoding.heads import NonMonotonic, Softmax

    torch.manual_seed(0)
    model = Recurrent(7, 6, 6).double().eval()
    model.embedding.weight.data *= 5
    model.bias.data[6] = -30.0
    found = loops.certify(model, torch.tensor([[0, 1]]), 600, largest_row=20.0)
    assert found is not None
    assert found.holds
    assert found.repeats_after is not None
    model.head = NonMonotonic(6, 6, 1e-6, bias=-30.0).double()
    clocked = loops.certify(model, torch.tensor([[0, 1]]), 600, largest_row=20.0)
    assert clocked is None or clocked.repeats_after is None
    model.head = Softmax()
    model.bias.data[6] = 50.0
    assert loops.certify(model, torch.tensor([[0, 1]]), 600, largest_row=20.0) is None
    with pytest.raises((ValueError, TypeError), match="context"):
        loops.certify(model, torch.tensor([[0], [1]]), 5, 1.0)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_repetition_is_the_sum_over_paths_and_lies_in_its_bounds(seed):
    P = np.random.default_rng(seed).dirichlet(np.ones(4), size=3)[:, :3] * 0.3
    R = repetition.repetition(P)
    assert repetition.repetition_by_paths(P, 6) == pytest.approx(R, rel=1e-5)
    values = np.linalg.eigvals(P**2)
    assert pytest.approx((values / (1 - values)).sum().real) == R
    assert (P**2).sum(1).min() - 1e-12 <= np.abs(values).max() <= (P**2).sum(1).max() + 1e-12


def test_a_certain_loop_repeats_for_ever():
    assert repetition.repetition(np.array([[0.0, 1.0], [1.0, 0.0]])) == math.inf
    with pytest.raises((ValueError, TypeError), match="transition"):
        repetition.repetition(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="row sums up to 2"):
        repetition.repetition(np.ones((2, 2)))


def test_the_bigram_counts():
    model = Ngram([[3, 0, 1, 4], [3, 0, 0, 4]], 5, 4, weight=0.5)
    row = model.rows(torch.tensor([[0]]))[0].exp()
    # After 0: 1, 0, 4 once each; among all words: 0 three times, 1 once, 4 twice of 6.
    expected = 0.5 * np.array([1, 1, 0, 0, 1]) / 3 + 0.5 * np.array([3, 1, 0, 0, 2]) / 6
    np.testing.assert_allclose(row, expected, rtol=1e-6)
    np.testing.assert_allclose(model.rows(torch.tensor([[2]])).exp().sum(), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="weight is 1"):
        Ngram([[0, 1]], 2, 1, weight=1.0)
    with pytest.raises(ValueError, match="order is 1"):
        Ngram([[0, 1]], 2, 1, order=1)
    with pytest.raises(ValueError, match="probabilities has a row"):
        Markov(torch.ones(2, 2), 1)


def test_a_trigram_backs_off_and_its_chain_is_the_enumeration():
    texts = np.random.default_rng(0).integers(0, 3, (30, 6))
    model = Ngram([[*text, 3] for text in texts.tolist()], 4, 3, order=3, weight=0.7)
    history = torch.tensor([[0, 2], [2, 2]])
    for row, (first, second) in zip(model.rows(history).exp(), history.tolist(), strict=True):
        pairs = [tuple(t[i : i + 3]) for t in [[*x, 3] for x in texts.tolist()] for i in range(len(t) - 2)]
        behind = [v for u, w, v in pairs if (u, w) == (first, second)]
        three = np.bincount(behind, minlength=4) / len(behind)
        two = torch.exp(
            Ngram([[*t, 3] for t in texts.tolist()], 4, 3, weight=0.7).rows(torch.tensor([[second]]))
        )
        np.testing.assert_allclose(row, 0.7 * three + 0.3 * two[0].numpy(), rtol=1e-5)
    start = torch.tensor([[0, 1]])
    for rule in (Greedy(), TopK(2), Ancestral()):
        chain = exact.decoded_chain(model, rule, start)
        curve = exact.survival(chain, chain.law(start), 9)
        np.testing.assert_allclose(exact.enumerated_survival(model, start, rule, 9), curve, rtol=1e-5)
        assert exact.survival(chain, chain.law(start), 4_000)[-1] == pytest.approx(
            float(chain.law(start) @ (1 - exact.termination(chain))), abs=1e-4
        )
    never_seen = Ngram([[0, 1, 2, 3]], 4, 3, order=3)
    torch.testing.assert_close(
        never_seen.rows(torch.tensor([[2, 1]])), Ngram([[0, 1, 2, 3]], 4, 3).rows(torch.tensor([[1]]))
    )
    with pytest.raises(ValueError, match="context has 1 tokens"):
        decode(model, ONE, Greedy(), 3)


def test_the_corpus():
    text = " = Title = \n\n The cat sat . A dog ran ! <unk> left . so it went \n = = Sub = = \n Two words \n"
    assert paragraphs(text)[1] == ["Two", "words"]
    assert sentences(text, 3, 9) == [
        ["The", "cat", "sat", "."],
        ["A", "dog", "ran", "!"],
        ["<unk>", "left", ".", "so", "it", "went"],
    ]
    words = Vocabulary.of([["a", "b", "a", "<unk>"], ["c", "b"]], 5)
    assert words.words == ("<unk>", "a", "b", "<bos>", "<eos>")
    assert words.encode([["a", "z"]]) == [[3, 1, 0, 4]]
    assert words.decode([1, 4]) == "a <eos>"
    assert contexts(words.encode([["a", "b", "c"]]), 2).tolist() == [[3, 1, 2]]
    with pytest.raises(ValueError, match="fewer than 5 words"):
        contexts([[3, 1, 4]], 5)
    with pytest.raises(ValueError, match="size is 3"):
        Vocabulary.of([["a"]], 3)
    with pytest.raises(ValueError, match="sequences is empty"):
        padded([])


def test_training_learns_a_deterministic_language():
    torch.manual_seed(0)
    model = Recurrent(6, 5, 16)
    data = [[4, 0, 1, 2, 3, 0, 1, 2, 5]] * 64
    losses = fit(model, data, context=2, epochs=30, rate=1e-2, generator=torch.Generator().manual_seed(0))
    assert losses[-1] < 0.1 < losses[0]
    cost = evaluate(model, data, 2)
    assert cost.total < 0.1
    assert cost.tokens == 64 * 6
    out = decode(model, torch.tensor([[4, 0, 1]]), Greedy(), 20)
    assert out.tokens[0].tolist() == [2, 3, 0, 1, 2, 5]
