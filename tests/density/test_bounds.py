import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kexue.density import bounds


def weights(samples, seed, scale=2.0):
    return scale * torch.randn(samples, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 40), st.integers(0, 99))
def test_jackknife_by_its_definition(samples, seed):
    log_w = weights(samples, seed)
    left_out = torch.stack(
        [bounds.importance_bound(torch.cat([log_w[:k], log_w[k + 1 :]])) for k in range(samples)]
    ).mean(0)
    expected = samples * bounds.importance_bound(log_w) - (samples - 1) * left_out
    assert torch.allclose(bounds.jackknife_bound(log_w), expected, atol=1e-9)


def test_jackknife_survives_one_weight_that_rules():
    log_w = torch.tensor([[0.0], [-50.0], [-60.0]], dtype=torch.float64)
    pairs = [(-50.0, -60.0), (0.0, -60.0), (0.0, -50.0)]
    left_out = sum(math.log((math.exp(a) + math.exp(b)) / 2) for a, b in pairs) / 3
    assert float(bounds.jackknife_bound(log_w)) == pytest.approx(3 * -math.log(3) - 2 * left_out, abs=1e-9)


@given(st.integers(0, 6), st.integers(0, 99))
def test_nested_bounds_rise_and_end_at_the_bound(power, seed):
    log_w = weights(2**power, seed)
    levels = bounds.nested_bounds(log_w)
    assert torch.allclose(levels[0], bounds.evidence_lower_bound(log_w))
    assert torch.allclose(levels[-1], bounds.importance_bound(log_w))
    assert (levels.diff(dim=0) >= -1e-12).all()


@given(st.integers(1, 50), st.floats(-900, 900))
def test_identical_samples_are_one_sample(samples, value):
    log_w = torch.full((samples, 2), value)
    assert torch.allclose(bounds.importance_bound(log_w), bounds.evidence_lower_bound(log_w))
    assert torch.allclose(bounds.effective_sample_size(log_w), torch.tensor(float(samples)).double())


def test_float32_weights_are_averaged_in_float64():
    log_w = torch.full((10, 1), -700.0)
    assert bounds.importance_bound(log_w).dtype == torch.float64
    assert float(bounds.importance_bound(log_w)) == -700


def test_effective_samples_of_one_weight():
    assert float(bounds.effective_sample_size(torch.tensor([[0.0], [-800.0]]))) == pytest.approx(1)


def test_refusals():
    with pytest.raises(ValueError, match="at least 2 samples"):
        bounds.jackknife_bound(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="power of two"):
        bounds.nested_bounds(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="at least 1 samples"):
        bounds.importance_bound(torch.zeros(0, 3))
