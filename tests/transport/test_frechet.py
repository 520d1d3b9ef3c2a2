import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from kexue.transport import closed_forms, frechet
from kexue.transport.exact import wasserstein


def cloud(seed, n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(seed, d):
    root = cloud(seed, d + 3, d)
    return root.T @ root / d


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_against_the_matrix_square_root(seed, d):
    left, right, gap = covariance(seed, d), covariance(seed + 1, d), cloud(seed + 2, 1, d)[0]
    product = np.real(np.trace(sqrtm((left @ right).numpy())))
    truth = float((gap**2).sum() + torch.trace(left) + torch.trace(right)) - 2 * product
    value = frechet.gaussian_distance(gap, left, torch.zeros(d).double(), right)
    assert value == pytest.approx(truth, abs=1e-7 * d)
    assert frechet.gaussian_distance(gap, left, gap, left) == pytest.approx(0, abs=1e-9 * d)


def test_closed_forms():
    identity, zero = torch.eye(5).double(), torch.zeros(5).double()
    assert frechet.gaussian_distance(zero, 4 * identity, zero, 9 * identity) == pytest.approx(5, abs=1e-12)
    w1 = closed_forms.isotropic_gaussians(5, 2, 3)
    assert 0 <= w1 <= math.sqrt(5)  # W1 ≤ W2
    line = torch.ones(1, 1).double()
    w2 = frechet.gaussian_distance(zero[:1] + 0.7, line, zero[:1], 2.25 * line)
    assert w2 == pytest.approx(0.7**2 + 0.5**2, abs=1e-12)
    assert closed_forms.gaussians_on_a_line(0.7, 1, 1.5) <= math.sqrt(w2)


def test_fewer_points_than_features():
    """Rank-deficient covariances, as ReLU features of a few hundred pictures have: no warning, no NaN."""
    x = cloud(0, 10, 60)
    x[:, 40:] = 0
    assert frechet.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(x, x + 1) == pytest.approx(60, abs=1e-9)
    spread = float(torch.trace(torch.cov(x.T)))
    assert frechet.frechet_distance(x, 3 * x - 2 * x.mean(0)) == pytest.approx(4 * spread, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(1, 10))
def test_properties(seed, n, d):
    x, y = cloud(seed, n, d), 2 * cloud(seed + 1, n, d) + 1
    value = frechet.frechet_distance(x, y)
    assert value >= float(((x.mean(0) - y.mean(0)) ** 2).sum()) - 1e-9
    assert frechet.frechet_distance(y, x) == pytest.approx(value, abs=1e-9)
    rotation = torch.linalg.qr(cloud(seed + 2, d, d)).Q
    assert frechet.frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, abs=1e-8)
    assert wasserstein(x, y).value >= float((x.mean(0) - y.mean(0)).norm()) - 1e-9


def test_the_floor_falls_with_the_sample():
    features, source = cloud(0, 2000, 10), torch.Generator().manual_seed(0)
    few, many = (frechet.frechet_floor(features, n, repeats=5, generator=source) for n in (50, 1000))
    assert (few > 0).all()
    assert float(few.mean()) > 5 * float(many.mean())


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    x = cloud(0, 4, 3)
    with pytest.raises(ValueError, match="x must hold at least two points"):
        frechet.frechet_distance(x[:1], x)
    with pytest.raises(ValueError, match="y must be finite"):
        frechet.frechet_distance(x, x * math.nan)
    with pytest.raises(ValueError, match="size must be from 2 to 2"):
        frechet.frechet_floor(x, 3, repeats=1, generator=torch.Generator())
