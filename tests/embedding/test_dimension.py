import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.embedding import annealed, asymptotic, dimension

# N, joint root, joint smallest integer, row root, row smallest integer
TABLE = [
    (10, 18.823, 19, 9.243, 10),
    (100, 37.968, 38, 18.823, 19),
    (512, 51.544, 52, 25.613, 26),
    (1_000, 57.109, 58, 28.396, 29),
    (2_048, 63.068, 64, 31.376, 32),
    (5_000, 70.488, 71, 35.086, 36),
    (10_000, 76.250, 77, 37.968, 38),
    (30_000, 85.382, 86, 42.534, 43),
    (100_000, 95.390, 96, 47.539, 48),
    (400_000, 106.914, 107, 53.301, 54),
    (1_000_000, 114.530, 115, 57.109, 58),
    (5_000_000, 127.909, 128, 63.799, 64),
    (10**9, 171.951, 172, 85.820, 86),
]
# β, cos θ*, rate, joint coefficient
NORMS = [
    (0.1, 0.0990, -0.00493, 405.96),
    (0.125, 0.1231, -0.00764, 261.93),
    (0.25, 0.2361, -0.02867, 69.76),
    (0.5, 0.4142, -0.09411, 21.25),
    (0.8, 0.5542, -0.18350, 10.90),
    (1, 0.6180, -0.24061, 8.312),
    (1.25, 0.6770, -0.30659, 6.523),
    (1.5, 0.7208, -0.36646, 5.458),
    (2, 0.7808, -0.47031, 4.253),
    (4, 0.8828, -0.75549, 2.647),
]


@pytest.mark.parametrize("softmax", ["joint", "row"])
@pytest.mark.parametrize("size", [512, 100_000])
def test_where_the_entropy_is_the_target_itself_the_next_dimension_is_the_first_below(size, softmax):
    for n in range(2, 25):
        target = annealed.annealed_entropy(n, size, softmax=softmax)
        assert dimension.smallest_dimension(size, softmax=softmax, entropy=target) == n + 1


@pytest.mark.parametrize(("size", "joint", "joint_least", "row", "row_least"), TABLE)
def test_roots(size, joint, joint_least, row, row_least):
    assert dimension.threshold_dimension(size) == pytest.approx(joint, abs=1e-3)
    assert dimension.smallest_dimension(size) == joint_least
    assert dimension.threshold_dimension(size, softmax="row") == pytest.approx(row, abs=1e-3)
    assert dimension.smallest_dimension(size, softmax="row") == row_least


@pytest.mark.parametrize("softmax", ["joint", "row"])
@given(st.floats(2, 1e12), st.floats(0.05, 10))
def test_smallest_is_smallest(softmax, size, beta):
    least = dimension.smallest_dimension(size, beta, softmax)
    assert annealed.annealed_entropy(least, size, beta, softmax) <= 0
    assert least == 2 or annealed.annealed_entropy(least - 1, size, beta, softmax) >= 0


@given(st.floats(10, 1e12), st.floats(0.01, 0.99))
def test_root_of_a_given_entropy(size, share):
    entropy = share * 2 * math.log(size)
    n = dimension.threshold_dimension(size, entropy=entropy)
    assert n == 2 or annealed.annealed_entropy(n, size) == pytest.approx(entropy, abs=1e-8)


@pytest.mark.parametrize("softmax", ["joint", "row"])
@given(st.floats(10, 1e12))
def test_two_terms(softmax, size):
    if softmax == "joint":
        series = asymptotic.asymptotic_dimension(size)
        assert series == pytest.approx(dimension.threshold_dimension(size), abs=0.01)
    half = asymptotic.asymptotic_dimension(size**2, softmax="row")
    assert half == pytest.approx(asymptotic.asymptotic_dimension(size))


def test_printed_series():
    assert asymptotic.coefficient() == pytest.approx(8.312348, abs=5e-7)
    assert asymptotic.asymptotic_dimension(1e5) == pytest.approx(8.312348 * math.log(1e5) - 0.3073, abs=1e-4)


def test_golden_ratio():
    golden = (1 + math.sqrt(5)) / 2
    assert asymptotic.dominant_cosine() == pytest.approx(1 / golden)
    assert asymptotic.rate() == pytest.approx(-math.log(golden) / 2)
    assert asymptotic.curvature() == pytest.approx(math.sqrt(5))
    assert asymptotic.coefficient() == pytest.approx(4 / math.log(golden))
    assert asymptotic.constant() == pytest.approx(math.log(golden) - math.log(5) / 4 - 2 / (5 * golden**2))


@pytest.mark.parametrize(("beta", "cosine", "rate", "coefficient"), NORMS)
def test_norm_law(beta, cosine, rate, coefficient):
    assert asymptotic.dominant_cosine(beta) == pytest.approx(cosine, abs=6e-5)
    assert asymptotic.rate(beta) == pytest.approx(rate, abs=6e-6)
    assert asymptotic.coefficient(beta) == pytest.approx(coefficient, abs=6e-3)
    assert asymptotic.coefficient(beta, "row") == pytest.approx(coefficient / 2, abs=3e-3)


@given(st.floats(0.02, 20))
def test_rate_and_constant_are_the_limit(beta):
    n = 1e6
    series = n * asymptotic.rate(beta) + asymptotic.constant(beta)
    assert annealed.offset(n, beta) == pytest.approx(series, abs=1e-6, rel=1e-14)


@pytest.mark.parametrize(
    "function", [asymptotic.rate, asymptotic.curvature, asymptotic.dominant_cosine, asymptotic.constant]
)
@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_refuses_norm(function, beta):
    with pytest.raises(ValueError, match="norm_product must be a finite number > 0"):
        function(beta)


@pytest.mark.parametrize("function", [dimension.threshold_dimension, dimension.smallest_dimension])
def test_refuses(function):
    with pytest.raises(ValueError, match="vocabulary must be a finite number ≥ 2, got 1"):
        function(1)
    with pytest.raises(ValueError, match="norm_product"):
        function(100, 0)
    with pytest.raises(ValueError, match="softmax must be one of"):
        function(100, softmax="both")
    with pytest.raises(ValueError, match="entropy must be a finite number ≥ 0, got -1"):
        function(100, entropy=-1)
    with pytest.raises(ValueError, match=r"entropy must lie below that of the uniform choice, 9\.2103"):
        function(100, entropy=2 * math.log(100))
    with pytest.raises(ValueError, match="entropy must be a finite number"):
        function(100, entropy=math.nan)
