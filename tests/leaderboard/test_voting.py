"""Voting rules against brute force and textbook profiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from kexue.leaderboard.ranks import dominance
from kexue.leaderboard.voting import borda, condorcet_winner, copeland, dowdall, pairwise_support, plurality

tables = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 4).map(float)
)


def profile(*ballots: str) -> np.ndarray:
    """A table in which every ballot, such as "acb", is one task."""
    return np.array([[-float(ballot.index(row)) for ballot in ballots] for row in sorted(ballots[0])])


@given(tables)
def test_borda_equals_average_ranks(table: np.ndarray) -> None:
    expected = sum(table.shape[0] - stats.rankdata(-column, method="average") for column in table.T)
    np.testing.assert_allclose(borda(table), expected)


@given(tables)
def test_points_are_conserved(table: np.ndarray) -> None:
    rows, tasks = table.shape
    assert borda(table).sum() == pytest.approx(tasks * rows * (rows - 1) / 2)
    assert plurality(table).sum() == pytest.approx(tasks)
    assert dowdall(table).sum() == pytest.approx(tasks * (1 / np.arange(1, rows + 1)).sum())
    assert copeland(table).sum() == 0


@given(tables)
def test_rules_see_only_the_order_within_a_task(table: np.ndarray) -> None:
    squeezed = np.ascontiguousarray(np.sqrt(table) * np.arange(1.0, table.shape[1] + 1))
    for rule in (borda, plurality, dowdall, copeland):
        np.testing.assert_allclose(rule(table), rule(squeezed))


@given(tables)
def test_rules_respect_dominance(table: np.ndarray) -> None:
    for winner, loser in np.argwhere(dominance(table)):
        for rule in (borda, plurality, dowdall, copeland):
            points = rule(table)
            assert points[winner] >= points[loser] - 1e-12


@given(tables)
def test_support_adds_up_to_the_tasks(table: np.ndarray) -> None:
    support = pairwise_support(table)
    np.testing.assert_allclose(support + support.T + table.shape[1] * np.eye(len(table)), table.shape[1])


@given(tables)
def test_condorcet_winner_by_brute_force(table: np.ndarray) -> None:
    winners = [
        row
        for row in range(len(table))
        if all(
            (table[row] > table[other]).sum() > (table[row] < table[other]).sum()
            for other in range(len(table))
            if other != row
        )
    ]
    assert condorcet_winner(table) == (winners[0] if winners else None)


def test_condorcet_cycle_has_no_winner() -> None:
    assert condorcet_winner(profile("abc", "bca", "cab")) is None


def test_borda_can_refuse_the_condorcet_winner() -> None:
    table = profile("abc", "abc", "abc", "bca", "bca")
    assert condorcet_winner(table) == 0
    assert borda(table).argmax() == 1


def test_dowdall_by_hand() -> None:
    np.testing.assert_allclose(
        dowdall(profile("abc", "acb", "bca")), [2 + 1 / 3, 1 / 2 + 1 / 3 + 1, 1 / 3 + 1 / 2 + 1 / 2]
    )
    np.testing.assert_allclose(dowdall(np.array([[5.0], [5.0], [1.0]])), [0.75, 0.75, 1 / 3])


def test_plurality_shares_a_tied_task() -> None:
    assert plurality(np.array([[5.0, 1.0], [5.0, 2.0], [4.0, 2.0]])).tolist() == [0.5, 1.0, 0.5]


def test_one_row_wins_alone() -> None:
    assert condorcet_winner(np.array([[1.0]])) == 0


@pytest.mark.parametrize("table", [np.array([[1.0, np.nan]]), np.empty((0, 2)), np.empty((2, 0))])
def test_incomplete_tables_are_refused(table: np.ndarray) -> None:
    for rule in (borda, plurality, dowdall, copeland, condorcet_winner):
        with pytest.raises(ValueError, match="complete"):
            rule(table)
