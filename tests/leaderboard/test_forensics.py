"""The solver finds the rule it was given, and its count of coincidences is right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.leaderboard.forensics import Explanation, candidates, coincidences, matches
from kexue.leaderboard.means import MEANS, power_mean

names = ("a", "b", "c", "d")
table = np.array(
    [[66.4, 97.8, 83.6, 92.6], [75.5, 97.8, 92.9, 92.8], [71.6, 97.5, 91.6, 93.0], [53.9, 96.3, 86.1, 89.2]]
)
found = candidates({"pair first": (names, table)})


def test_every_subset_and_mean_is_tried() -> None:
    assert len(found.explanations) == (2**4 - 1) * 3 == len(set(found.explanations))
    assert found.values.shape == (45, 4)


@given(st.sampled_from(found.explanations))
def test_the_true_rule_is_always_found(rule: Explanation) -> None:
    columns = [names.index(name) for name in rule.columns]
    means = power_mean(np.ascontiguousarray(table[:, columns]), MEANS[rule.mean])
    printed = {row: round(float(mean), 1) for row, mean in enumerate(means)}
    marked = matches(found, printed)
    assert rule in [found.explanations[i] for i in np.flatnonzero(marked)]


def test_coincidences_by_brute_force() -> None:
    for rows in ([0], [0, 2], [0, 1, 2, 3]):
        printed = np.floor(found.values[:, rows] * 10 + 0.5 + 1e-7)
        expected = [(printed == line).all(axis=1).sum() - 1 for line in printed]
        np.testing.assert_array_equal(coincidences(found, rows), expected)


def test_more_rows_and_more_digits_leave_fewer() -> None:
    counts = [coincidences(found, list(range(k))).sum() for k in (1, 2, 4)]
    assert counts[0] >= counts[1] >= counts[2]
    assert coincidences(found, [0], decimals=3).sum() <= counts[0]


def test_one_column_has_no_telling_mean() -> None:
    marked = matches(found, {0: 66.4, 1: 75.5, 2: 71.6, 3: 53.9})
    assert {found.explanations[i].mean for i in np.flatnonzero(marked)} == {"AM", "GM", "HM"}
    assert all(found.explanations[i].columns == ("a",) for i in np.flatnonzero(marked))


def test_a_missing_cell_excludes_only_its_subsets() -> None:
    gap = table.copy()
    gap[0, 3] = np.nan
    partial = candidates({"pair first": (names, gap)})
    uses = np.array(["d" in explanation.columns for explanation in partial.explanations])
    np.testing.assert_array_equal(np.isnan(partial.values[:, 0]), uses)
    assert np.isfinite(partial.values[:, 1]).all()
    assert np.isnan(coincidences(partial, [0, 1])[uses]).all()


def test_a_zero_excludes_only_geometric_and_harmonic_means() -> None:
    zero = table.copy()
    zero[0, 0] = 0.0
    partial = candidates({"pair first": (names, zero)})
    undefined = np.array(["a" in e.columns and e.mean != "AM" for e in partial.explanations])
    np.testing.assert_array_equal(np.isnan(partial.values[:, 0]), undefined)


def test_conventions_are_kept_apart() -> None:
    both = candidates({"pair first": (names, table), "all metrics": (names[:2], table[:, :2])}, means=["AM"])
    assert len(both.explanations) == 15 + 3
    assert both.explanations[-1] == Explanation("all metrics", "AM", ("a", "b"))


def test_slack_widens_the_match() -> None:
    value = float(found.values[0, 0])
    assert not matches(found, {0: value + 0.07})[0]
    assert matches(found, {0: value + 0.07}, slack=0.05)[0]
    assert matches(found, {0: value + 0.05})[0]
    assert not matches(found, {0: value + 0.051})[0]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"means \['QM'\]"):
        candidates({"x": (names, table)}, means=["QM"])
    with pytest.raises(ValueError, match="same rows"):
        candidates({"x": (names, table), "y": (names, table[:2])})
    with pytest.raises(ValueError, match="printed is empty"):
        matches(found, {})
