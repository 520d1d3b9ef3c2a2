import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from kexue.transport import closed_forms

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


def test_refuses():
    for call, name in (
        (lambda: closed_forms.mean_norm(0), "d"),
        (lambda: closed_forms.gaussians_on_a_line(math.nan, 1, 1), "shift"),
        (lambda: closed_forms.isotropic_gaussians(2, -1, 1), "scale_x"),
        (lambda: closed_forms.isotropic_gaussians(2, 1, -1), "scale_y"),
    ):
        with pytest.raises(ValueError, match=f"^{name} must"):
            call()
    with pytest.raises(TypeError, match="shift must be a real number"):
        closed_forms.gaussians_on_a_line(True, 1, 1)
