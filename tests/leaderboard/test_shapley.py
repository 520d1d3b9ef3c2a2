"""Shapley values against the definition by orders, and their axioms."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kexue.leaderboard.ranks import margin
from kexue.leaderboard.shapley import margin_shapley, shapley_values
from kexue.leaderboard.subsets import subset_masks

games = st.integers(1, 5).flatmap(lambda m: arrays(np.float64, 2**m, elements=st.floats(-10, 10)))


def by_orders(worth: np.ndarray) -> np.ndarray:
    tasks = worth.size.bit_length() - 1
    total = np.zeros(tasks)
    orders = list(permutations(range(tasks)))
    for order in orders:
        coalition = 0
        for task in order:
            total[task] += worth[coalition | 1 << task] - worth[coalition]
            coalition |= 1 << task
    return total / len(orders)


@given(games)
def test_equal_the_average_over_orders(worth: np.ndarray) -> None:
    np.testing.assert_allclose(shapley_values(worth), by_orders(worth), atol=1e-9)


@given(games)
def test_efficient(worth: np.ndarray) -> None:
    assert shapley_values(worth).sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


@given(arrays(np.float64, 6, elements=st.floats(-5, 5)))
def test_additive_game_gives_each_its_own(parts: np.ndarray) -> None:
    np.testing.assert_allclose(shapley_values(subset_masks(6) @ parts), parts, atol=1e-9)


def test_a_task_that_adds_nothing_gets_nothing() -> None:
    masks = subset_masks(4)
    worth = np.where(masks[:, 0] & masks[:, 2], 6.0, 0.0)
    np.testing.assert_allclose(shapley_values(worth), [3, 0, 3, 0])


def test_textbook_gloves() -> None:
    # Players 0 and 1 hold a left glove, player 2 a right one; a pair is worth 1.
    masks = subset_masks(3)
    worth = ((masks[:, 0] | masks[:, 1]) & masks[:, 2]).astype(float)
    np.testing.assert_allclose(shapley_values(worth), [1 / 6, 1 / 6, 4 / 6])


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_wrong_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"2\^m"):
        shapley_values(np.zeros(size))


def test_missing_worth_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        shapley_values(np.array([0.0, np.nan]))


def test_margin_values_add_up_to_the_lead() -> None:
    table = np.random.default_rng(2).uniform(50, 100, size=(5, 6))
    for power, mean in ((1.0, table.mean(axis=1)), (0.0, np.exp(np.log(table).mean(axis=1)))):
        assert margin_shapley(table, 1, power).sum() == pytest.approx(margin(mean, 1))


def test_equal_tasks_get_equal_values() -> None:
    column = np.array([90.0, 80.0, 70.0])
    values = margin_shapley(np.stack([column, column, np.array([50.0, 60.0, 70.0])], axis=1), 0, 1.0)
    assert values[0] == pytest.approx(values[1])
    assert values[2] < 0
