import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.density import bounds, gaps, gaussian

COUNTS = (1, 2, 4, 8, 16, 32, 64)


def test_anchors():
    """δ = 1, τ = 1; the project's anchors were simulated, and are good to 1e-3."""
    found = gaps.exact_gaps(gaps.gaussian_weights(1, 1), COUNTS)
    assert found.tolist() == pytest.approx([0.5, 0.2906, 0.1640, 0.0907, 0.0484, 0.0253, 0.0130], abs=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(0.3, 2))
def test_one_sample_is_the_closed_form(shift, scale):
    found = float(gaps.exact_gaps(gaps.gaussian_weights(shift, scale), [1])[0])
    assert found == pytest.approx(gaussian.reverse_kl(shift, scale), abs=1e-8)


def test_by_simulation():
    source = torch.Generator().manual_seed(0)
    z = 0.5 + 1.2 * torch.randn(16, 200_000, generator=source, dtype=torch.float64)
    log_w = -0.5 * z**2 + 0.5 * ((z - 0.5) / 1.2) ** 2 + math.log(1.2)
    bound = bounds.importance_bound(log_w)
    exact = float(gaps.exact_gaps(gaps.gaussian_weights(0.5, 1.2), [16])[0])
    assert -float(bound.mean()) == pytest.approx(exact, abs=4 * float(bound.std()) / math.sqrt(200_000))


def test_the_step_is_fine_enough():
    law = gaps.gaussian_weights(0.3, 0.6)
    fine = gaps.exact_gaps(gaps.gaussian_weights(0.3, 0.6, nodes=6001), [1, 50, 10_000], step=0.03)
    assert torch.allclose(gaps.exact_gaps(law, [1, 50, 10_000]), fine, atol=1e-9)


@pytest.mark.parametrize("correlation", [-0.4, 0.4, 0.9])
def test_mean_field(correlation):
    exact = gaps.exact_gaps(gaps.mean_field_weights(correlation), [1, 100])
    assert float(exact[0]) == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=1e-8)
    precision = torch.tensor([[1, correlation], [correlation, 1]], dtype=torch.float64)
    identity = torch.eye(2, dtype=torch.float64)
    assert gaussian.reverse_kl_of_precisions(precision, identity) == pytest.approx(float(exact[0]), abs=1e-8)
    chi_square = gaussian.chi_square_of_precisions(precision, identity)
    if abs(correlation) < 0.5:
        expected = (1 - correlation**2) / math.sqrt(1 - 4 * correlation**2) - 1
        assert chi_square == pytest.approx(expected)
        assert float(exact[1]) == pytest.approx(chi_square / 200, rel=0.15)
    else:
        assert chi_square == math.inf


def test_log_normal():
    found = gaps.exact_gaps(gaps.log_normal_weights(10.0), [1, 10, 100])
    assert found.tolist() == pytest.approx([5, 1.99, 0.80], abs=0.01)
    for count, gap in zip((1, 10, 100), found, strict=True):
        assert gaps.extreme_value_gap(10.0, count) >= float(gap) - 1e-9


def test_where_the_law_of_log_normal_weights_sets_in():
    """χ² = e^{s²} − 1; the leading term χ²/2K holds when e^{1.5 s²} is small against K, and far from it is too large."""
    law = gaps.log_normal_weights(4.0)
    for exponent, ratio in ((2.0, 0.2), (12.0, 1.0)):
        count = round(math.exp(exponent))
        leading = math.expm1(4.0) / (2 * count)
        assert float(gaps.exact_gaps(law, [count])[0]) / leading == pytest.approx(ratio, abs=0.1)


@pytest.mark.parametrize("variance", [1.0, 10.0, 40.0])
def test_the_largest_weight_bounds_the_gap(variance):
    counts = [1, 2, 5, 100, 10**4, 10**6]
    exact = gaps.exact_gaps(gaps.log_normal_weights(variance), counts)
    rule = torch.tensor([gaps.extreme_value_gap(variance, count) for count in counts], dtype=torch.float64)
    assert bool((rule >= exact - 1e-8).all())


def test_expected_maximum_of_two_and_three_normals():
    for count, largest in ((2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi))):
        assert gaps.extreme_value_gap(4.0, count) == pytest.approx(
            2 - 2 * largest + math.log(count), abs=1e-5
        )


def test_defensive_mixture_bounds_the_weights():
    law = gaps.defensive_weights(0.4, 0.1, 3.0)
    assert float(law.log_w.max()) < math.log(3.0 / 0.1)
    counts = [1000, 10_000]
    assert gaps.slope(counts, gaps.exact_gaps(law, counts)) == pytest.approx(-1, abs=0.02)


def test_gap_exponent_is_continuous_at_the_threshold():
    assert gaussian.gap_exponent(math.sqrt(0.5) - 1e-9) == pytest.approx(-1, abs=1e-6)
    assert gaussian.gap_exponent(0.8) == -1
    assert gaussian.chi_square(0, 0.7) == math.inf


def test_chi_square_in_one_dimension_agrees_with_the_matrix_form():
    one = torch.ones(1, 1, dtype=torch.float64)
    assert gaussian.chi_square(0, 1.3) == pytest.approx(gaussian.chi_square_of_precisions(one, one / 1.69))


def test_refusals():
    law = gaps.gaussian_weights(0, 1.5)
    with pytest.raises(ValueError, match="mean 1"):
        gaps.exact_gaps(law._replace(log_w=law.log_w + 0.1), [1])
    with pytest.raises(ValueError, match="samples"):
        gaps.exact_gaps(law, [0])
    with pytest.raises(ValueError, match="correlation"):
        gaps.mean_field_weights(1.0)
    with pytest.raises(ValueError, match="share"):
        gaps.defensive_weights(0.5, 1.5, 2.0)
    with pytest.raises(ValueError, match="positive"):
        gaps.slope([1, 2], torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_isotropic_weights(shift):
    line = gaps.exact_gaps(gaps.gaussian_weights(shift, 1.3), [1, 20])
    assert torch.allclose(gaps.exact_gaps(gaps.isotropic_weights(1, shift, 1.3), [1, 20]), line, atol=1e-5)
    five = gaps.exact_gaps(gaps.isotropic_weights(5, shift * math.sqrt(5), 1.3), [1])
    assert float(five[0]) == pytest.approx(5 * gaussian.reverse_kl(shift, 1.3), abs=1e-6)
    with pytest.raises(ValueError, match="scale > 1"):
        gaps.isotropic_weights(2, 0.0, 1.0)
