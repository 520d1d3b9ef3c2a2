import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from kexue.transport import closed_forms
from kexue.transport.exact import wasserstein_batch

SCALES = st.floats(0, 10)


def test_mean_norm():
    assert closed_forms.mean_norm(1) == pytest.approx(math.sqrt(2 / math.pi), abs=1e-12)
    assert closed_forms.mean_norm(2) == pytest.approx(math.sqrt(math.pi / 2), abs=1e-12)
    assert closed_forms.mean_norm(64) == pytest.approx(7.9688, abs=1e-4)
    assert closed_forms.mean_norm(10**6) == pytest.approx(1e3, rel=1e-6)


@pytest.mark.parametrize(("shift", "s", "t"), [(0.7, 1, 1.5), (-2.0, 0.3, 2), (0.0, 1, 3), (1.0, 0, 0.5)])
def test_gaussians_on_a_line_against_quadrature(shift, s, t):
    truth, _ = quad(lambda p: abs(shift + (t - s) * norm.ppf(p)), 0, 1, limit=400, epsabs=1e-11)
    assert closed_forms.gaussians_on_a_line(shift, s, t) == pytest.approx(truth, abs=1e-8)


@given(st.floats(-10, 10), SCALES, SCALES)
def test_gaussians_on_a_line_lie_between_their_bounds(shift, s, t):
    value = closed_forms.gaussians_on_a_line(shift, s, t)
    assert abs(shift) - 1e-9 <= value <= math.hypot(shift, s - t) + 1e-9
    assert closed_forms.gaussians_on_a_line(shift, s, s) == abs(shift)
    line = closed_forms.isotropic_gaussians(1, s, t)
    assert closed_forms.gaussians_on_a_line(0, s, t) == pytest.approx(line, abs=1e-9)


def test_uniform_batches():
    assert closed_forms.uniform_batches(1) == pytest.approx(1 / 3, abs=1e-12)
    limit = math.pi / 8 * math.sqrt(4 / math.pi)
    assert closed_forms.uniform_batches(1000) * math.sqrt(1000) == pytest.approx(limit, rel=1e-3)
    x, y = torch.rand(2, 2000, 16, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = wasserstein_batch(x, y, threads=1)
    error = float(draws.std()) / math.sqrt(len(draws))
    assert float(draws.mean()) == pytest.approx(closed_forms.uniform_batches(16), abs=4 * error)


def test_single_draws():
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 20_000, 5, generator=source, dtype=torch.float64)
    gaps = (x - 0.4 * y).norm(dim=1)
    truth = closed_forms.single_draw_gaussians(5, 1, 0.4)
    assert float(gaps.mean()) == pytest.approx(truth, abs=4 * float(gaps.std()) / math.sqrt(len(gaps)))
    assert closed_forms.single_draw_gaussians(5, 1, 0) < truth


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 40))
def test_coins(p, q, m):
    value = closed_forms.bernoulli_batches(p, q, m)
    assert abs(p - q) - 1e-9 <= value <= closed_forms.bernoulli_batches(p, q) + 1e-9
    assert closed_forms.bernoulli_batches(p, q) == pytest.approx(p * (1 - q) + q * (1 - p), abs=1e-12)


def test_coins_against_simulation():
    source = np.random.default_rng(0)
    draws = np.abs(source.binomial(8, 0.3, 40_000) - source.binomial(8, 0.6, 40_000)) / 8
    assert closed_forms.bernoulli_batches(0.3, 0.6, 8) == pytest.approx(
        draws.mean(), abs=4 * draws.std() / 200
    )


def test_refuses():
    for call, name in (
        (lambda: closed_forms.mean_norm(0), "d"),
        (lambda: closed_forms.gaussians_on_a_line(math.nan, 1, 1), "shift"),
        (lambda: closed_forms.isotropic_gaussians(2, -1, 1), "scale_x"),
        (lambda: closed_forms.single_draw_gaussians(2, 1, -1), "scale_y"),
        (lambda: closed_forms.uniform_batches(0), "m"),
        (lambda: closed_forms.bernoulli_batches(1.5, 0.5), "p"),
        (lambda: closed_forms.bernoulli_batches(0.5, 0.5, 5000), "m"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must"):
            call()
    with pytest.raises(TypeError, match="shift must be a real number"):
        closed_forms.gaussians_on_a_line(True, 1, 1)
