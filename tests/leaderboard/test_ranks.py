"""Ranks, margins, agreement and dominance against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from kexue.leaderboard.means import power_mean
from kexue.leaderboard.ranks import discordant_pairs, dominance, kendall_tau, margin, ranks

scores = arrays(np.float64, st.integers(1, 15), elements=st.integers(0, 8).map(float))


@given(scores, st.sampled_from(["min", "average", "max", "dense"]))
def test_equal_scipy(values: np.ndarray, ties: str) -> None:
    np.testing.assert_array_equal(ranks(values, ties=ties), stats.rankdata(-values, method=ties))  # type: ignore[arg-type]


@given(scores)
def test_any_increasing_map_keeps_ranks(values: np.ndarray) -> None:
    np.testing.assert_array_equal(ranks(values), ranks(np.exp(values) - 3.0))


def test_ties_by_hand() -> None:
    values = np.array([5.0, 7.0, 7.0, 1.0])
    assert ranks(values).tolist() == [3, 1, 1, 4]
    assert ranks(values, ties="average").tolist() == [3, 1.5, 1.5, 4]
    assert ranks(values, ties="max").tolist() == [3, 2, 2, 4]
    assert ranks(values, ties="dense").tolist() == [2, 1, 1, 3]


def test_missing_is_refused_or_left_out() -> None:
    values = np.array([np.nan, 7.0, 9.0])
    with pytest.raises(ValueError, match="1 missing"):
        ranks(values)
    np.testing.assert_array_equal(ranks(values, missing="unranked"), [np.nan, 2, 1])
    np.testing.assert_array_equal(ranks(np.full(2, np.nan), missing="unranked"), [np.nan, np.nan])


def test_many_draws_at_once() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 7))
    np.testing.assert_array_equal(ranks(draws), np.stack([ranks(draw) for draw in draws]))
    assert ranks(np.array([3.0])).tolist() == [1]


def test_margin() -> None:
    assert margin(np.array([3.0, 9.0, np.nan]), 0) == -6.0
    assert margin(np.array([[3.0, 9.0], [5.0, 1.0]]), 0).tolist() == [-6.0, 4.0]
    assert np.isnan(margin(np.array([np.nan, 9.0]), 0))
    for alone in (np.array([3.0]), np.array([3.0, np.nan])):
        with pytest.raises(ValueError, match="another row"):
            margin(alone, 0)


@given(arrays(np.float64, 8, elements=st.integers(0, 30).map(float), unique=True), st.permutations(range(8)))
def test_tau_counts_discordant_pairs(values: np.ndarray, order: list[int]) -> None:
    other = values[order]
    pairs = 8 * 7 / 2
    assert kendall_tau(values, other) == pytest.approx(1 - 2 * discordant_pairs(values, other) / pairs)
    assert kendall_tau(values, other) == pytest.approx(stats.kendalltau(values, other).statistic)


def test_tau_needs_two_varying_scorings() -> None:
    with pytest.raises(ValueError, match="not defined"):
        kendall_tau(np.ones(4), np.arange(4.0))
    with pytest.raises(ValueError, match="nan"):
        kendall_tau(np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_ties_reverse_nothing() -> None:
    assert discordant_pairs(np.array([1.0, 1.0, 2.0]), np.array([3.0, 2.0, 1.0])) == 2


@given(
    arrays(np.float64, (5, 3), elements=st.integers(1, 6).map(float)),
    st.sampled_from([-5.0, -1.0, 0.0, 1.0, 4.0]),
)
def test_no_mean_reverses_dominance(table: np.ndarray, power: float) -> None:
    means = power_mean(table, power)
    for winner, loser in np.argwhere(dominance(table)):
        assert means[winner] > means[loser] * (1 - 1e-12)


def test_dominance_by_hand() -> None:
    table = np.array([[2.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert dominance(table).tolist() == [
        [False, True, True, False],
        [False, False, False, False],
        [False, False, False, False],
        [False, True, True, False],
    ]
    with pytest.raises(ValueError, match="missing"):
        dominance(np.array([[1.0, np.nan]]))


@pytest.mark.usefixtures("as_a_user")
def test_unknown_policies_are_named() -> None:
    for change, message in (({"ties": "first"}, "ties='first'"), ({"missing": "last"}, "missing='last'")):
        with pytest.raises(ValueError, match=message):
            ranks(np.ones(2), **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one row"):
        ranks(np.empty((3, 0)))


def test_means_that_are_equal_on_paper_tie():
    """Two means of the same sum differ in their last bit, and in nothing that a board prints."""
    first, second = (0.1 + 0.2) / 2, (0.3 + 0.0) / 2
    assert first != second
    assert ranks(np.array([first, second])).tolist() == [1.0, 1.0]
