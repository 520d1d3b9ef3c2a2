"""Scales: what keeps an order and what does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from kexue.leaderboard.means import power_mean
from kexue.leaderboard.ranks import discordant_pairs
from kexue.leaderboard.scales import agreement, error_rates, logits, normalise

tables = arrays(np.float64, (4, 5), elements=st.floats(1.0, 100.0))


@given(tables, st.integers(0, 3))
def test_geometric_mean_forgets_the_reference(table: np.ndarray, reference: int) -> None:
    ratio = power_mean(normalise(table, reference), 0.0)
    np.testing.assert_allclose(ratio, power_mean(table, 0.0) / power_mean(table, 0.0)[reference])
    assert ratio[reference] == pytest.approx(1.0)


def test_arithmetic_mean_does_not() -> None:
    # Smith's example: each machine is faster on one program; the arithmetic mean lets the reference lose.
    table = np.array([[1.0, 10.0], [10.0, 1.0]])
    first, second = (power_mean(normalise(table, reference), 1.0) for reference in (0, 1))
    assert discordant_pairs(first, second) == 1


@given(tables, st.floats(-20, 20))
def test_arithmetic_order_survives_a_shift_of_a_task(table: np.ndarray, shift: float) -> None:
    moved = table + shift * np.eye(5)[0]
    np.testing.assert_allclose(
        power_mean(moved, 1.0) - power_mean(moved, 1.0)[0],
        power_mean(table, 1.0) - power_mean(table, 1.0)[0],
        atol=1e-9,
    )


def test_error_rates() -> None:
    assert error_rates(np.array([100.0, 0.0, 97.3])).tolist() == pytest.approx([0.0, 100.0, 2.7])
    assert np.isnan(error_rates(np.array([np.nan]))).all()
    with pytest.raises(ValueError, match=r"\[0, 100\]"):
        error_rates(np.array([-0.4]))


@pytest.mark.usefixtures("as_a_user")
def test_logits_are_finite_odd_and_near_the_logit() -> None:
    sizes = np.array([100.0, 100.0, 1e9])
    values = logits(np.array([[100.0, 0.0, 80.0]]), sizes)[0]
    assert values[0] == -values[1] == pytest.approx(np.log(201.0))
    assert values[2] == pytest.approx(special.logit(0.8), abs=1e-8)
    with pytest.raises(ValueError, match=r"\[0, 100\]"):
        logits(np.array([101.0]), np.array([5.0]))
    with pytest.raises(ValueError, match="sizes"):
        logits(np.array([10.0]), np.array([5.0, 5.0]))


def test_agreement() -> None:
    assert agreement(np.array([-100.0, 0.0, 66.4, 100.0])).tolist() == pytest.approx([0.0, 50.0, 83.2, 100.0])
    with pytest.raises(ValueError, match="-100, 100"):
        agreement(np.array([100.1]))


def test_reference_must_be_positive() -> None:
    with pytest.raises(ValueError, match="row 1 cannot be the reference"):
        normalise(np.array([[1.0], [0.0]]), 1)
    with pytest.raises(ValueError, match="row 0"):
        normalise(np.array([[np.nan], [1.0]]), 0)
