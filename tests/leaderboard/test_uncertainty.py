"""Draws against the laws they are drawn from."""

import numpy as np
import pytest
from scipy import stats

from kexue.leaderboard.uncertainty import rounding_draws, sampling_draws


def test_rounding_draws_print_as_the_table() -> None:
    table = np.array([[90.1, 55.5], [0.0, 99.9]])
    draws = rounding_draws(table, draws=500, generator=np.random.default_rng(0))
    assert draws.shape == (500, 2, 2)
    assert np.abs(draws - table).max() <= 0.05
    assert stats.kstest(draws[:, 0, 0], stats.uniform(90.05, 0.1).cdf).pvalue > 1e-3


def test_rounding_stays_in_bounds() -> None:
    draws = rounding_draws(np.array([100.0, -100.0]), draws=300, generator=np.random.default_rng(0))
    assert draws.max() <= 100.0
    assert draws.min() >= -100.0
    assert np.abs(draws).min() >= 99.95


def test_no_rounding_gives_the_table_back() -> None:
    table = np.array([12.5, 30.0])
    assert (rounding_draws(table, draws=3, generator=np.random.default_rng(0), half_unit=0.0) == table).all()


def test_sampling_draws_follow_the_jeffreys_posterior() -> None:
    draws = sampling_draws(
        np.array([[97.3, 50.0]]), np.array([146.0, 1000.0]), draws=4000, generator=np.random.default_rng(0)
    )
    assert draws.shape == (4000, 1, 2)
    correct = 146 * 0.973
    assert (
        stats.kstest(draws[:, 0, 0] / 100, stats.beta(correct + 0.5, 146 - correct + 0.5).cdf).pvalue > 1e-3
    )
    assert draws[:, 0, 1].std() == pytest.approx(100 * np.sqrt(0.25 / 1000), rel=0.05)


def test_a_perfect_score_is_not_certain() -> None:
    draws = sampling_draws(
        np.array([100.0]), np.array([146.0]), draws=1000, generator=np.random.default_rng(0)
    )
    assert draws.max() <= 100.0
    assert draws.mean() == pytest.approx(100 * 146.5 / 147, abs=0.05)
    assert draws.std() == pytest.approx(100 * stats.beta(146.5, 0.5).std(), rel=0.15)


def test_larger_test_sets_leave_less_open() -> None:
    table, generator = np.array([90.0, 90.0]), np.random.default_rng(0)
    few, many = sampling_draws(table, np.array([100.0, 10000.0]), draws=2000, generator=generator).std(axis=0)
    assert few / many == pytest.approx(10.0, rel=0.1)


def test_same_generator_same_draws() -> None:
    table, sizes = np.array([70.0]), np.array([50.0])
    first, second = (
        sampling_draws(table, sizes, draws=5, generator=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures("as_a_user")
def test_bad_arguments_are_named() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        rounding_draws(np.ones(2), draws=0, generator=generator)
    with pytest.raises(ValueError, match="half_unit"):
        rounding_draws(np.ones(2), draws=1, generator=generator, half_unit=-0.1)
    with pytest.raises(ValueError, match="1 cells missing"):
        rounding_draws(np.array([np.nan, 1.0]), draws=1, generator=generator)
    with pytest.raises(ValueError, match="outside"):
        sampling_draws(np.array([-0.4]), np.array([10.0]), draws=1, generator=generator)
    with pytest.raises(ValueError, match="sizes must be 2"):
        sampling_draws(np.ones(2), np.array([10.0]), draws=1, generator=generator)
    with pytest.raises(ValueError, match="at least 1"):
        sampling_draws(np.ones(2), np.array([10.0, 0.0]), draws=1, generator=generator)
