"""Loops: their least period on enough evidence, and certificates for states that can return."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from kexue.decoding import loops
from kexue.decoding.ngram import Markov, Ngram
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.transformer import Transformer

TURNS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def least(turn):
    """The least p that divides the turn into equal parts: a second way to the period of an endless loop."""
    return next(p for p in range(1, len(turn) + 1) if turn == turn[:p] * (len(turn) // p))


def test_numbers_in_a_state_keep_their_digits():
    """A clock of 0.1 and one a hair later are two states, also where float32 holds them for one."""
    first, later = (loops.flatten((clock, torch.zeros(1, 2))) for clock in (0.1, 0.1 + 1e-12))
    assert not torch.equal(first, later)
    assert not torch.equal(loops.flatten((2**24,)), loops.flatten((2**24 + 1,)))


@given(TURNS, st.integers(3, 6), st.data())
def test_three_turns_show_the_least_period(turn, turns, data):
    rest = data.draw(st.integers(0, len(turn) - 1))
    tail = turn * turns + turn[:rest]
    assert loops.period(tail) == least(turn)
    assert loops.period(tail, len(turn)) == least(turn)
    if least(turn) > 1:
        assert loops.period(tail, least(turn) - 1) is None


@given(TURNS, st.integers(0, 40))
def test_fewer_than_three_turns_are_no_evidence(turn, longest):
    assume(least(turn) == len(turn))
    for tail in (turn, turn + turn[:-1], turn * 2, turn * 3 + turn[:-1]):
        found = loops.period(tail, longest)
        assert found is None or 3 * found <= len(tail)
    assert loops.period(list(range(len(turn))), longest) is None


@given(st.lists(st.integers(0, 2), max_size=30), st.none() | st.integers(0, 40))
def test_what_is_found_is_a_period_and_what_is_not_found_is_none(text, longest):
    limit = len(text) // 3 if longest is None else min(longest, len(text) // 3)
    right = [p for p in range(1, limit + 1) if all(text[i] == text[i + p] for i in range(len(text) - p))]
    assert loops.period(text, longest) == (right[0] if right else None)


def test_one_turn_is_no_loop():
    assert loops.period([1, 2, 3, 4], 64) is None
    assert loops.period([], 64) is None
    assert loops.cycle([1, 2, 3, 4], 64) is None
    assert loops.cycle([1, 2, 3, 1, 2, 3, 1, 2], 64) is None
    assert loops.cycle([1, 2, 3] * 3, 64) == (1, 2, 3)


def ring(size):
    """A bigram that says 0, 1, …, size − 1, 0, … when greedy; ``<eos>`` comes last and second."""
    law = torch.full((size + 1, size + 1), 0.0)
    for word in range(size):
        law[word, (word + 1) % size], law[word, size] = 0.6, 0.4
    law[size] = 1.0 / (size + 1)
    return Markov(law, size)


@pytest.mark.parametrize("size", [1, 2, 5, 70])
def test_a_bigram_returns_exactly_after_one_turn(size):
    found = loops.certify(ring(size), torch.tensor([[0]]), 200, largest_row=0.0)
    assert found is not None
    assert found.holds
    assert (found.period, found.repeats_after) == (size, size)
    assert float(found.residuals.abs().max()) == 0.0
    assert found.margin == pytest.approx(torch.tensor(0.6 / 0.4).log().item(), rel=1e-5)


def test_a_bigram_that_stops_or_was_not_watched_for_long_enough_has_no_certificate():
    stops = Markov(torch.tensor([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.3, 0.3, 0.4]]), 2)
    assert loops.certify(stops, torch.tensor([[0]]), 50, largest_row=0.0) is None
    assert loops.certify(ring(9), torch.tensor([[0]]), 9, largest_row=0.0) is None


def test_a_trigram_is_certified_like_its_text():
    model = Ngram([[5, 0, 1, 0, 2] * 30 + [6]], 7, 6, order=3)
    found = loops.certify(model, torch.tensor([[5, 0]]), 50, largest_row=0.0)
    assert found is not None
    assert found.holds
    assert found.period == 5


def test_a_contraction_without_a_return_is_measured():
    torch.manual_seed(0)
    model = Recurrent(7, 6, 6).double().eval()
    model.embedding.weight.data *= 5
    model.bias.data[6] = -30.0
    returns = loops.certify(model, torch.tensor([[0, 1]]), 600, largest_row=20.0)
    assert returns is not None
    assert returns.repeats_after is not None
    early = loops.certify(model, torch.tensor([[0, 1]]), returns.repeats_after - 1, largest_row=20.0)
    assert early is not None
    assert early.repeats_after is None
    assert early.period == returns.period
    assert 0.0 < early.contraction < 1.0
    assert early.holds == (early.margin > early.drift)
    # The whole of the last turn counts: the phase that still moves most may not be the one it ended in.
    last = float(early.residuals[-early.period :].max())
    assert early.drift == pytest.approx(2 * 20.0 * max(last, 2.0**-52) / (1 - early.contraction))


@pytest.mark.parametrize("horizon", [5, 100])
@pytest.mark.parametrize("context", [[[0]], [[0, 1, 2]]])
def test_a_cache_that_grows_is_refused_by_name(horizon, context):
    model = Transformer(7, 6, 8, 1, 2, 256).eval()
    model.embedding.weight.data[6] = 0.0
    with pytest.raises(ValueError, match=r"model's state holds \d+ numbers at first .* constant size"):
        loops.certify(model, torch.tensor(context), horizon, largest_row=1.0)


def test_a_state_that_grows_only_later_is_refused_too():
    class Memo:
        vocabulary, eos = 3, 2

        def init(self, prefix):
            return (torch.zeros(len(prefix), 1),)

        def step(self, token, state):
            return torch.tensor([[2.0, 1.0, 0.0]]), (torch.cat([state[0], state[0][:, :1] + 1.0], dim=1),)

    with pytest.raises(ValueError, match="and 2 after step 1"):
        loops.certify(Memo(), torch.tensor([[0]]), 20, largest_row=1.0)
