import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, kstest

from kexue.embedding import angles, codebook


@pytest.mark.parametrize("n", [2, 2.5, 3, 10, 100, 1_000])
def test_density_moments(n):
    def moment(power):
        def weight(t):
            return float(angles.angle_density(np.array(t), n)) * math.cos(t) ** power

        return quad(weight, 0, math.pi, points=[math.pi / 2], limit=200)[0]

    assert moment(0) == pytest.approx(1, abs=1e-8)
    assert moment(1) == pytest.approx(0, abs=1e-8)
    assert moment(2) == pytest.approx(1 / n, abs=1e-8)


@given(st.floats(2, 500), st.floats(-1, 1))
def test_distribution_is_a_beta(n, c):
    expected = beta.cdf((1 + c) / 2, (n - 1) / 2, (n - 1) / 2)
    assert float(angles.cosine_distribution(np.array(c), n)) == pytest.approx(expected, abs=1e-12)
    assert angles.cosine_tail(c, n) == pytest.approx(1 - expected, abs=1e-9)


@given(st.floats(2, 500), st.floats(0, 0.99))
def test_tail_is_symmetric(n, c):
    assert angles.cosine_tail(c, n) + angles.cosine_tail(-c, n) == pytest.approx(1)


def test_simulated_angles_follow():
    source = torch.Generator().manual_seed(3)
    u, v = (codebook.sphere_codebook(20_000, 7, generator=source, dtype=torch.float64) for _ in range(2))
    cosines = ((u * v).sum(1) / 7).numpy()
    assert kstest(cosines, lambda c: angles.cosine_distribution(np.clip(c, -1, 1), 7)).pvalue > 1e-3


def test_largest_cosine_against_simulation():
    source = torch.Generator().manual_seed(4)
    found = []
    for _ in range(60):
        u, v = (codebook.sphere_codebook(200, 30, generator=source) for _ in range(2))
        found.append(codebook.softmax_entropy(u, v).largest / 30)
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(angles.expected_largest_cosine(200**2, 30), abs=4 * error)


def test_two_pairs_on_a_circle():
    # the larger of two uniform angles' cosines: E max = ∫ (1 − F²) − 1 = 4/π², exactly
    assert angles.expected_largest_cosine(2, 2) == pytest.approx(4 / math.pi**2, abs=1e-8)


def test_typical_pair_has_count_one():
    c = angles.typical_largest_cosine(1e6, 40)
    assert 1e6 * angles.cosine_tail(c, 40) == pytest.approx(1)


def test_refuses():
    with pytest.raises(ValueError, match=r"theta must lie in \[0, π\]"):
        angles.angle_density(np.array([4.0]), 3)
    with pytest.raises(ValueError, match="n must be"):
        angles.angle_density(np.array([1.0]), 1)
    with pytest.raises(ValueError, match="cosine must lie in"):
        angles.cosine_distribution(np.array([1.5]), 3)
    with pytest.raises(ValueError, match="cosine must lie in"):
        angles.cosine_tail(1.5, 3)
    with pytest.raises(ValueError, match="cosine must be a finite number"):
        angles.cosine_tail(math.nan, 3)
    with pytest.raises(ValueError, match="pairs must be a finite number > 2"):
        angles.typical_largest_cosine(2, 3)
    with pytest.raises(ValueError, match="pairs must be a finite number ≥ 2"):
        angles.expected_largest_cosine(1, 3)
