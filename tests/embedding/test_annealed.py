import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import vonmises_fisher

from kexue.embedding import annealed, asymptotic

PRINTED = {32: "-7.77471", 64: "-15.4734", 96: "-23.1726", 128: "-30.8718", 256: "-61.6692", 512: "-123.264"}
DIMENSIONS = st.floats(2, 2_000)
NORMS = st.floats(0.02, 20)


def reference(n, beta):
    """h_n with 40 digits."""
    with mpmath.workdps(40):
        order, kappa = mpmath.mpf(n) / 2 - 1, mpmath.mpf(beta) * n
        low, high = mpmath.besseli(order, kappa), mpmath.besseli(order + 1, kappa)
        log_mean = mpmath.loggamma(order + 1) + order * mpmath.log(2 / kappa) + mpmath.log(low)
        return float(log_mean - kappa * high / low), float(log_mean), float(high / low)


@pytest.mark.parametrize(("n", "printed"), PRINTED.items())
def test_table_of_the_article(n, printed):
    digits = len(printed) - printed.index(".") - 1
    assert f"{annealed.offset(n):.{digits}f}" == printed


@pytest.mark.parametrize("beta", [0.001, 0.125, 0.5, 1, 2, 4])
@pytest.mark.parametrize("n", [2, 2.5, 3, 10, 61, 61.999, 62, 63, 128, 700])
def test_against_mpmath(n, beta):
    offset, log_mean, cosine = reference(n, beta)
    assert annealed.offset(n, beta) == pytest.approx(offset, abs=1e-13, rel=4e-16)
    assert annealed.log_mean_exp(n, beta) == pytest.approx(log_mean, abs=1e-12, rel=1e-14)
    assert annealed.tilted_cosine(n, beta) == pytest.approx(cosine, abs=1e-14)


@pytest.mark.parametrize("beta", [0.1, 0.5, 1, 2, 4])
@pytest.mark.parametrize("n", [2, 3, 8, 61, 62, 128, 512, 2_000, 5_000])
def test_three_ways_agree(n, beta):
    assert annealed.offset_by_quadrature(n, beta) == pytest.approx(annealed.offset(n, beta), abs=1e-10)
    assert annealed.offset_by_von_mises_fisher(n, beta) == pytest.approx(annealed.offset(n, beta), abs=1e-10)


@pytest.mark.parametrize("n", [10**5, 10**6])
def test_stable_at_large_n(n):
    series = asymptotic.rate() * n + asymptotic.constant() - 0.04378 / n
    assert annealed.offset(n) == pytest.approx(series, abs=1e-8)
    assert annealed.offset_by_quadrature(n) == pytest.approx(annealed.offset(n), rel=1e-12)
    assert annealed.offset_by_von_mises_fisher(n) == pytest.approx(annealed.offset(n), rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 32, 512])
def test_von_mises_fisher_of_scipy(n):
    direction = np.zeros(n)
    direction[0] = 1
    log_area = math.log(2) + n / 2 * math.log(math.pi) - gammaln(n / 2)
    assert vonmises_fisher(direction, n).entropy() - log_area == pytest.approx(annealed.offset(n), abs=1e-10)


@given(DIMENSIONS, NORMS)
def test_bounds(n, beta):
    offset = annealed.offset(n, beta)
    assert offset < 0
    assert 0 < annealed.tilted_cosine(n, beta) < 1
    assert annealed.log_mean_exp(n, beta) >= 0
    assert offset == pytest.approx(
        annealed.log_mean_exp(n, beta) - beta * n * annealed.tilted_cosine(n, beta), abs=1e-9, rel=1e-12
    )


@given(DIMENSIONS, NORMS, st.floats(1.01, 2))
def test_falls_with_dimension_and_norm(n, beta, factor):
    assert annealed.offset(n * factor, beta) < annealed.offset(n, beta)
    assert annealed.offset(n, beta * factor) < annealed.offset(n, beta)


def test_small_norm_is_quadratic():
    assert annealed.offset(50, 1e-6) == pytest.approx(-50 * 1e-12 / 2, rel=1e-3)


def test_annealed_entropy():
    assert annealed.annealed_entropy(64, 1e5) == pytest.approx(7.55245, abs=5e-6)
    assert annealed.annealed_entropy(128, 1e5) < 0
    assert annealed.annealed_entropy(20, 7) - annealed.annealed_entropy(
        20, 7, softmax="row"
    ) == pytest.approx(math.log(7))


FUNCTIONS = [
    annealed.offset,
    annealed.offset_by_quadrature,
    annealed.offset_by_von_mises_fisher,
    annealed.log_mean_exp,
    annealed.tilted_cosine,
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("n", [1.99, 0, -3, math.nan, math.inf])
def test_refuses_dimension(function, n):
    with pytest.raises(ValueError, match="n must be a finite number ≥ 2"):
        function(n)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("beta", [0, -1, math.nan, math.inf])
def test_refuses_norm(function, beta):
    with pytest.raises(ValueError, match="norm_product must be a finite number > 0"):
        function(10, beta)


@pytest.mark.parametrize("size", [1.5, 0, math.nan, math.inf])
def test_refuses_vocabulary(size):
    with pytest.raises(ValueError, match="vocabulary must be a finite number ≥ 2"):
        annealed.annealed_entropy(10, size)


def test_refuses_softmax():
    with pytest.raises(ValueError, match="softmax must be one of joint, row; got 'column'"):
        annealed.annealed_entropy(10, 10, softmax="column")


def test_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="n must be a real number, got True"):
        annealed.offset(True)
