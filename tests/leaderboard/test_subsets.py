"""All subsets at once against one at a time; the variance split against its definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from kexue.leaderboard import subsets
from kexue.leaderboard.means import power_mean
from kexue.leaderboard.ranks import ranks
from kexue.leaderboard.subsets import phase_diagram, subset_masks, subset_means, variance_shares

table = np.random.default_rng(1).uniform(20, 100, size=(4, 5))


def test_masks_list_every_subset_once() -> None:
    masks = subset_masks(5)
    listed = {tuple(np.flatnonzero(mask)) for mask in masks}
    assert listed == {c for size in range(6) for c in combinations(range(5), size)}
    assert len(masks) == 32
    assert not masks[0].any()
    assert masks[6].tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("tasks", [0, -1, 17])
def test_too_many_or_too_few_tasks(tasks: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 16"):
        subset_masks(tasks)


@pytest.mark.parametrize("power", [-np.inf, -3.0, -1.0, 0.0, 0.5, 1.0, 8.0, np.inf])
def test_means_equal_one_at_a_time(power: float) -> None:
    masks = subset_masks(5)[1:]
    expected = [power_mean(np.ascontiguousarray(table[:, mask]), power) for mask in masks]
    np.testing.assert_allclose(subset_means(table, masks, power), expected, rtol=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = subset_masks(5)[1:]
    whole = subset_means(table, masks, -1.0)
    monkeypatch.setattr(subsets, "_MOST_CELLS", 60)
    np.testing.assert_array_equal(subset_means(table, masks, -1.0), whole)


def test_empty_subsets_and_missing_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="empty subset"):
        subset_means(table, subset_masks(5), 1.0)
    with pytest.raises(ValueError, match="1 missing"):
        subset_means(np.array([[1.0, np.nan]]), np.array([[True, False]]), 1.0)
    assert subset_means(table, subset_masks(5)[:0], 1.0).shape == (0, 4)


def test_a_zero_matters_only_where_it_counts() -> None:
    values = np.array([[0.0, 4.0], [2.0, 4.0]])
    assert subset_means(values, np.array([[False, True]]), 0.0) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="zeros"):
        subset_means(values, np.array([[True, True]]), 0.0)


def test_phase_diagram_is_the_rank_of_the_mean() -> None:
    masks = subset_masks(5)[[31, 7, 16]]
    powers = [-np.inf, -1.0, 0.0, 2.0]
    diagram = phase_diagram(table, masks, powers, row=2)
    assert diagram.shape == (3, 4)
    for i, mask in enumerate(masks):
        for j, power in enumerate(powers):
            assert diagram[i, j] == ranks(power_mean(np.ascontiguousarray(table[:, mask]), power))[2]


@given(arrays(np.float64, (4, 3), elements=st.integers(0, 9).map(float)))
def test_variance_shares_add_up(values: np.ndarray) -> None:
    if np.ptp(values) == 0:
        with pytest.raises(ValueError, match="do not vary"):
            variance_shares(values)
        return
    shares = variance_shares(values)
    residual = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    assert shares["interaction"] == pytest.approx(
        (residual**2).sum() / ((values - values.mean()) ** 2).sum(), abs=1e-12
    )
    assert sum(shares.values()) == pytest.approx(1.0)


def test_variance_shares_of_pure_effects() -> None:
    assert variance_shares(np.array([[0.0, 0.0], [1.0, 1.0]])) == pytest.approx(
        {"first": 1, "second": 0, "interaction": 0}
    )
    assert variance_shares(np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(
        {"first": 0, "second": 1, "interaction": 0}
    )
    assert variance_shares(np.array([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx(
        {"first": 0, "second": 0, "interaction": 1}
    )


def test_first_share_is_the_anova_f_test_share() -> None:
    values = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6.0)[:, None]
    f = stats.f_oneway(*values).statistic
    share = variance_shares(values)["first"]
    assert share / (1 - share) * (6 * 4 - 6) / (6 - 1) == pytest.approx(f)
