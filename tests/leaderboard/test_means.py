"""Power means against scipy, their limits, their inequalities, and every policy."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from kexue.leaderboard.means import MEANS, needed_score, power_mean

positive = arrays(np.float64, st.integers(1, 12), elements=st.floats(0.1, 100.0))
powers = st.floats(-30.0, 30.0)


@given(positive)
def test_named_means_equal_scipy(values: np.ndarray) -> None:
    assert power_mean(values, MEANS["AM"]) == pytest.approx(np.mean(values))
    assert power_mean(values, MEANS["GM"]) == pytest.approx(stats.gmean(values))
    assert power_mean(values, MEANS["HM"]) == pytest.approx(stats.hmean(values))


# scipy's pmean loses digits where p is almost 0: there test_small_powers is the oracle.
clear_powers = powers.filter(lambda power: abs(power) > 0.05)


@given(positive, clear_powers)
def test_any_power_equals_scipy(values: np.ndarray, power: float) -> None:
    assert power_mean(values, power) == pytest.approx(stats.pmean(values, power), rel=1e-9)


@given(
    arrays(np.float64, (3, 5), elements=st.floats(0.1, 100.0)),
    arrays(np.float64, 5, elements=st.floats(0.1, 9)),
    clear_powers,
)
def test_weights_equal_scipy(table: np.ndarray, weights: np.ndarray, power: float) -> None:
    assert power_mean(table, power, weights=weights) == pytest.approx(
        stats.pmean(table, power, axis=1, weights=weights), rel=1e-9
    )
    assert power_mean(table, 0.0, weights=weights) == pytest.approx(
        stats.gmean(table, axis=1, weights=weights)
    )


@given(positive)
def test_harmonic_below_geometric_below_arithmetic(values: np.ndarray) -> None:
    harmonic, geometric, arithmetic = (float(power_mean(values, p)) for p in (-1.0, 0.0, 1.0))
    assert harmonic <= geometric * (1 + 1e-12)
    assert geometric <= arithmetic * (1 + 1e-12)


def test_equality_only_when_all_are_equal() -> None:
    assert (
        len(
            {
                round(float(power_mean(np.full(7, 3.7), p)), 12)
                for p in (-math.inf, -5.0, -1.0, 0.0, 1.0, 9.0, math.inf)
            }
        )
        == 1
    )
    assert power_mean(np.array([1.0, 1.1]), -1.0) < power_mean(np.array([1.0, 1.1]), 0.0)


@given(positive, powers, powers)
def test_never_decreasing_in_the_power(values: np.ndarray, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert power_mean(values, low) <= power_mean(values, high) * (1 + 1e-9)


@given(positive, powers)
def test_between_minimum_and_maximum(values: np.ndarray, power: float) -> None:
    assert values.min() * (1 - 1e-9) <= power_mean(values, power) <= values.max() * (1 + 1e-9)


@given(positive, powers, st.floats(0.01, 100.0))
def test_homogeneous(values: np.ndarray, power: float, factor: float) -> None:
    assert power_mean(factor * values, power) == pytest.approx(factor * power_mean(values, power))


@given(arrays(np.float64, (2, 6), elements=st.floats(0.1, 100.0)), powers)
def test_dominance_is_respected(table: np.ndarray, power: float) -> None:
    better = np.stack([table.max(axis=0), table.min(axis=0)])
    upper, lower = power_mean(better, power)
    assert upper >= lower * (1 - 1e-12)


def test_extreme_powers_reach_their_limits_without_overflow() -> None:
    values = np.array([0.001, 50.0, 100.0])
    assert power_mean(values, math.inf) == 100.0
    assert power_mean(values, -math.inf) == 0.001
    assert power_mean(values, 1e6) == pytest.approx(100.0, rel=1e-5)
    assert power_mean(values, -1e6) == pytest.approx(0.001, rel=1e-5)


@pytest.mark.parametrize("power", [1e-3, 1e-6, 1e-9, 1e-12, -1e-9])
def test_small_powers_approach_the_geometric_mean(power: float) -> None:
    values = np.array([3.0, 20.0, 90.0, 55.0])
    logs = np.log(values)
    second_order = np.exp(logs.mean() + power * logs.var() / 2)
    assert power_mean(values, power) == pytest.approx(second_order, rel=2 * power**2 + 1e-14)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (0, 4), (2, 3, 4)])
def test_edge_shapes(shape: tuple[int, ...]) -> None:
    assert power_mean(np.full(shape, 2.0), 0.0).shape == shape[:-1]


def test_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one task"):
        power_mean(np.empty((3, 0)), 1.0)


def test_zero_policies() -> None:
    values = np.array([[0.0, 4.0], [1.0, 4.0]])
    for power in (0.0, -1.0, -3.0):
        with pytest.raises(ValueError, match=r"1 zeros \(the first at index \(0, 0\)\)"):
            power_mean(values, power)
        assert power_mean(values, power, zeros="limit")[0] == 0.0
        assert np.isnan(power_mean(values, power, zeros="undefined")).tolist() == [True, False]
    assert power_mean(values, 2.0)[0] == pytest.approx(math.sqrt(8.0))
    assert power_mean(np.zeros(3), 2.0) == 0.0
    assert power_mean(values, 1.0)[0] == 2.0


def test_zero_policy_agrees_with_scipy_and_the_standard_library() -> None:
    values = np.array([0.0, 4.0])
    assert power_mean(values, 0.0, zeros="limit") == stats.gmean(values)
    assert power_mean(values, -1.0, zeros="limit") == statistics.harmonic_mean(values.tolist())


def test_negative_policies() -> None:
    values = np.array([[-10.3, 50.0], [10.0, 50.0]])
    for power in (0.0, -1.0, 2.0, 0.5):
        with pytest.raises(ValueError, match="1 negatives"):
            power_mean(values, power)
        assert np.isnan(power_mean(values, power, negatives="undefined")).tolist() == [True, False]
    assert power_mean(values, 1.0)[0] == pytest.approx(19.85)
    assert power_mean(values, -math.inf)[0] == -10.3
    assert power_mean(values, math.inf)[0] == 50.0


def test_missing_policies() -> None:
    values = np.array([[90.0, 50.0, np.nan], [80.0, 80.0, 20.0], [np.nan, np.nan, np.nan]])
    with pytest.raises(ValueError, match="4 missing"):
        power_mean(values, 1.0)
    assert np.isnan(power_mean(values, 1.0, missing="undefined")).tolist() == [True, False, True]
    skipped = power_mean(values, 1.0, missing="skip")
    assert skipped[0] == 70.0
    assert skipped[1] == 60.0
    assert np.isnan(skipped[2])
    assert power_mean(values, -1.0, missing="skip")[0] == pytest.approx(stats.hmean([90.0, 50.0]))


def test_skip_reweighs_what_is_left() -> None:
    values = np.array([1.0, np.nan, 4.0])
    assert power_mean(values, 1.0, weights=np.array([1.0, 5.0, 3.0]), missing="skip") == pytest.approx(13 / 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zeros": "drop"}, "zeros='drop' is no policy"),
        ({"negatives": "limit"}, "negatives='limit' is no policy"),
        ({"missing": "zero"}, "missing='zero' is no policy"),
        ({"weights": np.array([1.0, 2.0])}, "weights must be 3"),
        ({"weights": np.array([1.0, 0.0, 1.0])}, "weights must be 3"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_bad_choices_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        power_mean(np.array([1.0, 2.0, 3.0]), 0.0, **change)  # type: ignore[arg-type]


def test_bad_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="power is NaN"):
        power_mean(np.ones(2), math.nan)
    with pytest.raises(ValueError, match="infinite score"):
        power_mean(np.array([1.0, math.inf]), 1.0)


def test_input_is_left_alone() -> None:
    values = np.array([[np.nan, 3.0, 0.0]])
    before = values.copy()
    power_mean(values, 0.0, missing="skip", zeros="limit")
    np.testing.assert_array_equal(values, before)


@given(
    arrays(np.float64, st.integers(1, 8), elements=st.floats(1.0, 100.0)),
    st.floats(-3.0, 3.0).filter(lambda power: power == 0 or abs(power) > 1e-100),
    st.floats(1.0, 100.0),
)
def test_needed_score_reaches_the_target(values: np.ndarray, power: float, target: float) -> None:
    needed = needed_score(values, power, target)
    if math.isfinite(needed) and 1e-6 < needed < 1e9:
        assert power_mean(np.append(values, needed), power) == pytest.approx(target, rel=1e-6)


def test_needed_score_beyond_reach() -> None:
    assert needed_score(np.array([1.0]), -1.0, 50.0) == math.inf
    assert needed_score(np.array([100.0, 90.0]), 1.0, 1.0) == -math.inf
    assert needed_score(np.array([80.0]), 1.0, 90.0) == pytest.approx(100.0)
    for bad in (np.array([0.0]), np.empty(0)):
        with pytest.raises(ValueError, match="must be positive"):
            needed_score(bad, 1.0, 1.0)
