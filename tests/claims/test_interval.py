"""Intervals against scipy, and what they must do at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kexue.claims.interval import bca, student, wilson


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_student_is_scipys(values):
    array = np.array(values)
    scale = array.std(ddof=1) / np.sqrt(array.size)
    expected = stats.t.interval(0.95, array.size - 1, loc=array.mean(), scale=max(scale, 1e-300))
    assert student(array) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case):
    successes, trials = case
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_three_of_three_is_far_from_certain():
    low, high = wilson(3, 3)
    assert low == pytest.approx(0.4385, abs=1e-4)
    assert high == 1.0


def test_bca_covers_a_skewed_mean_better_than_nothing():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        low, high = bca(generator.exponential(size=60))
        hits += low <= 1.0 <= high
    assert hits >= 33


def test_bca_is_reproducible_and_a_point_for_equal_values():
    values = np.arange(10.0)
    assert bca(values) == bca(values)
    assert bca(np.full(5, 2.0)) == (2.0, 2.0)


@pytest.mark.parametrize("interval", [student, bca])
def test_one_value_has_no_interval(interval):
    with pytest.raises(ValueError, match="at least 2 replicates"):
        interval(np.array([1.0]))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 4), (5, 4)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match=r"successes must lie in \[0, trials\]"):
        wilson(successes, trials)


@pytest.mark.parametrize("n", [3, 5, 30])
def test_student_covers_at_its_level(n):
    generator = np.random.default_rng(1)
    trials = 2000
    hits = sum(low <= 0 <= high for low, high in (student(generator.normal(size=n)) for _ in range(trials)))
    assert abs(hits / trials - 0.95) < 4 * np.sqrt(0.95 * 0.05 / trials)
