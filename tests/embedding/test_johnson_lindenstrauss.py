import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kexue.embedding import johnson_lindenstrauss as jl

DIMENSIONS = st.integers(2, 3_000)
TOLERANCES = st.floats(0.01, 0.99)


@given(DIMENSIONS, TOLERANCES)
def test_tails_stay_below_their_bounds(n, epsilon):
    assert jl.norm_tail(n, epsilon) <= jl.norm_bound(n, epsilon)
    assert jl.orthogonality_tail(n, epsilon) <= jl.orthogonality_bound(n, epsilon)


@pytest.mark.parametrize(("n", "epsilon"), [(5, 0.3), (40, 0.2)])
def test_tails_against_simulation(n, epsilon):
    source = torch.Generator().manual_seed(0)
    u, v = (torch.randn(200_000, n, generator=source, dtype=torch.float64) / math.sqrt(n) for _ in range(2))
    for tail, events in (
        (jl.norm_tail(n, epsilon), ((u**2).sum(1) - 1).abs() >= epsilon),
        (jl.orthogonality_tail(n, epsilon), (u * v).sum(1).abs() >= epsilon),
    ):
        error = math.sqrt(tail * (1 - tail) / len(events))
        assert float(events.double().mean()) == pytest.approx(tail, abs=5 * error)


def test_sufficient_dimension():
    assert jl.sufficient_dimension(500, 0.5) == pytest.approx(24 * math.log(500) / 0.25)
    assert jl.sufficient_dimension(10, 0.1, factor=16) == pytest.approx(1_600 * math.log(10))


@given(st.floats(2, 1e9))
def test_distortion_at_the_rule_is_the_same_for_every_count(count):
    low, high = jl.typical_distortion(count, max(2.0, 8.33 * math.log(count)))
    if count > 2:
        assert (low, high) == pytest.approx((0.310, 2.323), abs=2e-3)


def test_distortion_against_simulation():
    source = torch.Generator().manual_seed(1)
    points = torch.randn(400, 600, generator=source)
    ratios = jl.distance_ratios(points, jl.gaussian_projection(points, 50, generator=source))
    low, high = jl.typical_distortion(400, 50)
    assert len(ratios) == 400 * 399 // 2
    assert float(ratios.mean()) == pytest.approx(1, abs=0.05)
    assert low - 0.05 < float(ratios.min()) < low + 0.15
    assert high - 0.5 < float(ratios.max()) < high + 0.1


def test_ratios_of_a_scaled_copy():
    points = torch.randn(9, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert jl.distance_ratios(points, 3 * points) == pytest.approx([9.0] * 36)


def test_refuses():
    for epsilon in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="epsilon must"):
            jl.norm_bound(10, epsilon)
    with pytest.raises(ValueError, match="n must"):
        jl.norm_tail(1, 0.5)
    with pytest.raises(ValueError, match="count must"):
        jl.sufficient_dimension(1, 0.5)
    with pytest.raises(ValueError, match="factor must"):
        jl.sufficient_dimension(10, 0.5, factor=0)
    points = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="points must be distinct"):
        jl.distance_ratios(points, points)
    with pytest.raises(ValueError, match="n must"):
        jl.gaussian_projection(points, 1, generator=torch.Generator())
