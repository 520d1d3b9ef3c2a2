"""Stopping limits, the tax, and certified bounds, against closed forms and attained worst cases."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kexue.decoding import bounds
from kexue.decoding.beam import beam
from kexue.decoding.counterexamples import ConstantGate, ParallelChains
from kexue.decoding.decode import decode
from kexue.decoding.exact import enumerated_survival
from kexue.decoding.rules import Ancestral, Greedy, Nucleus, TopK

ONE = torch.zeros(1, 1, dtype=torch.int64)


@pytest.mark.parametrize(
    ("epsilon", "limit"),
    [(1e-2, 69), (1e-3, 693), (5e-4, 1386), (1e-4, 6932), (5e-5, 13_863), (1e-5, 69_315)],
)
def test_the_limits_of_greedy_decoding(epsilon, limit):
    assert bounds.greedy_limit(epsilon) == limit


@pytest.mark.parametrize("epsilon", [0.2, 1e-2, 1e-3])
@pytest.mark.parametrize("monotone", [True, False])
def test_the_slowest_model_stops_exactly_at_the_limit(epsilon, monotone):
    model = ConstantGate(2, epsilon, monotone=monotone)
    assert int(decode(model, ONE, Greedy(), 5000).lengths) == bounds.greedy_limit(epsilon)


@given(st.floats(1e-4, 0.5), st.floats(0.0, 0.99))
def test_first_step_above_is_first(epsilon, delta):
    step = bounds.first_step_above(delta, epsilon)
    above = [-math.expm1(t * math.log1p(-epsilon)) for t in (step - 1, step)]
    assert above[0] <= delta + 1e-9
    assert above[1] > delta - 1e-9


def test_at_the_edge_itself_the_next_step_is_the_first_above():
    """1 − 0.9³ is not above 0.271; every decimal with at most 15 digits that is such an edge, in exact arithmetic."""
    assert bounds.first_step_above(0.271, 0.1) == 4
    assert bounds.nucleus_limit(0.75, 0.5) == 3
    assert bounds.top_k_entry(1, 0.5) == 2
    edges = 0
    for percent in range(1, 100):
        epsilon = Fraction(percent, 100)
        for t in range(1, 8):
            edge = 1 - (1 - epsilon) ** t
            if (edge * 10**15).denominator > 1:
                break
            edges += 1
            delta = float(edge)
            assert bounds.first_step_above(delta, float(epsilon)) == t + 1
            assert bounds.first_step_above(delta - 2e-15, float(epsilon)) == t
    assert edges > 600


@pytest.mark.parametrize(
    ("delta", "epsilon", "step"), [(0.0, 1e-300, 1), (1e-300, 1e-300, 2), (1e-9, 1e-300, None)]
)
def test_first_step_above_for_the_smallest_numbers(delta, epsilon, step):
    found = bounds.first_step_above(delta, epsilon)
    assert found == step if step is not None else found == pytest.approx(1e291, rel=1e-8)


@given(st.integers(1, 100_000))
def test_epsilon_for_a_horizon_certifies_it_and_hardly_more(horizon):
    epsilon = bounds.epsilon_for(horizon)
    assert bounds.greedy_limit(epsilon) == horizon
    assert epsilon > 1 - 2 ** (-1 / horizon)


@pytest.mark.parametrize("epsilon", [0.05, 0.01])
@pytest.mark.parametrize("preference", [0.0, 1.0])
def test_no_decoder_overruns_its_limit(epsilon, preference):
    model = ConstantGate(5, epsilon, preference=preference)
    crowd = torch.zeros(300, 1, dtype=torch.int64)
    for mass in (0.2, 0.5, 0.9):
        out = decode(model, crowd, Nucleus(mass), 2000, generator=torch.Generator().manual_seed(0))
        assert int(out.lengths.max()) <= bounds.nucleus_limit(mass, epsilon)
    for width in (2, 3, 4):
        assert int(beam(model, ONE, width, 2000).lengths) <= bounds.beam_limit(width, epsilon)
        assert int(beam(model, ONE, width, 2000, wait_for="first").lengths) <= bounds.greedy_limit(epsilon)
    for k in (1, 2, 4):
        law, _ = model.step(ONE[0], (bounds.top_k_entry(k, epsilon) - 1,))
        assert bool(torch.isfinite(TopK(k).log_law(law, model.eos)[0, model.eos]))


def test_the_sampling_bound_is_attained():
    curve = enumerated_survival(ConstantGate(2, 0.01), ONE, Ancestral(), 40)
    assert curve[1:] == pytest.approx([bounds.sampling_survival(L, 0.01) for L in range(1, 41)], rel=1e-9)


def test_the_tax_by_hand():
    # Two texts of 3 and 5 tokens: going on costs 1 + 2 and 1 + 2 + 3 + 4 times -ln(1 - eps).
    assert bounds.likelihood_tax(np.array([3, 5]), 0.1) == pytest.approx(13 / 8 * -math.log(0.9))


def test_the_certified_stop_probability_is_attained_at_a_corner():
    weight, bias = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.randn(6)
    corner = -torch.ones(3)
    two = torch.stack(
        [weight[0], weight[0] - 0.7]
    )  # the other row is lower everywhere: the corner is the worst case
    least = bounds.log_least_stop(two, torch.zeros(2), 0)
    assert least == pytest.approx(float((two @ corner).log_softmax(0)[0]), rel=1e-5)
    hidden = torch.rand(1000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    met = (hidden @ weight.T + bias).log_softmax(1)[:, 2].min()
    assert bounds.log_least_stop(weight, bias, 2) <= float(met)


def test_the_layernorm_bound_holds_for_extreme_inputs():
    generator = torch.Generator().manual_seed(2)
    norm = torch.nn.LayerNorm(8)
    norm.weight.data, norm.bias.data = (
        torch.randn(8, generator=generator),
        torch.randn(8, generator=generator),
    )
    weight = torch.randn(5, 8, generator=generator)
    least = bounds.log_least_stop_layernorm(weight, norm.weight.data, norm.bias.data, 4)
    inputs = 10 ** torch.linspace(-3, 6, 2000)[:, None] * torch.randn(2000, 8, generator=generator)
    with torch.no_grad():
        met = (norm(inputs) @ weight.T).log_softmax(1)[:, 4].min()
    assert least <= float(met)


@pytest.mark.parametrize("epsilon", [0.05, 0.01, 3e-3])
def test_beam_search_can_take_as_long_as_its_limit(epsilon):
    last = bounds.greedy_limit(epsilon)
    before, then = (1 - (1 - epsilon) ** step for step in (last - 1, last))
    least, most = before / (1 - before), (1 - then) / then
    assert least < most
    for tilt in (least + 1e-9, math.sqrt(least * most), most - 1e-9):
        found = beam(ParallelChains(2, epsilon, tilt), ONE, 2, 1_000)
        assert int(found.steps) == bounds.beam_limit(2, epsilon)
    assert int(beam(ParallelChains(2, epsilon, 0.5 * least), ONE, 2, 1_000).steps) < last
    for chains in (2, 3, 4):
        assert int(beam(ParallelChains(chains, epsilon), ONE, chains, 1_000).steps) == last


def test_parallel_chains_are_a_law_with_the_slowest_gate():
    model = ParallelChains(3, 0.1, 0.5)
    state = model.init(ONE)
    for step in range(1, 6):
        law, state = model.step(torch.tensor([0, 2]), state)
        torch.testing.assert_close(law.exp().sum(dim=1), torch.ones(2, dtype=torch.float64))
        torch.testing.assert_close(law[:, 3].exp(), torch.full((2,), 1 - 0.9**step, dtype=torch.float64))
        if step > 1:
            assert law[:, :3].isfinite().tolist() == [[True, False, False], [False, False, True]]


def test_what_makes_no_sense_is_refused_by_name():
    for call in (
        bounds.greedy_limit,
        lambda e: bounds.likelihood_tax(np.array([3]), e),
        lambda e: bounds.sampling_survival(3, e),
    ):
        for epsilon in (0.0, 1.0, math.nan):
            with pytest.raises(ValueError, match="epsilon is"):
                call(epsilon)
    with pytest.raises(ValueError, match="delta is 1"):
        bounds.first_step_above(1.0, 0.1)
    with pytest.raises(ValueError, match="horizon is 0"):
        bounds.epsilon_for(0)
    with pytest.raises(ValueError, match="sigmoid is 0"):
        ConstantGate(3, 0.1, sigmoid=0.0)
    with pytest.raises(ValueError, match="tilt is 0"):
        ParallelChains(2, 0.1, 0.0)
    with pytest.raises(ValueError, match="chains is 0"):
        ParallelChains(0, 0.1)
