import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import centres
from kexue.transport.exact import wasserstein

SEEDS = st.integers(0, 2**31)


def cloud(seed, n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(2, 6), st.booleans())
def test_no_neighbour_of_the_median_is_better(seed, n, d, tied):
    points = cloud(seed, n, d).round() if tied else cloud(seed, n, d)
    weights = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    weights /= weights.sum()
    median = centres.geometric_median(points, weights, tolerance=1e-10, iterations=100_000)
    value = float(weights @ (points - median).norm(dim=1))
    for step in (0.1, 1e-3):
        for nearby in median + step * torch.nn.functional.normalize(cloud(seed + 1, 10, d), dim=1):
            assert float(weights @ (points - nearby).norm(dim=1)) >= value - 1e-6 * step
    assert value <= float(weights @ (points - weights @ points).norm(dim=1)) + 1e-9
    assert value == pytest.approx(wasserstein(points, median[None], weights_x=weights).value, abs=1e-9)


def test_medians_by_hand():
    triangle = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    assert centres.geometric_median(triangle + 3) == pytest.approx([3.0, 3.0], abs=1e-6)
    heavy = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    at_a_point = centres.geometric_median(heavy, torch.tensor([0.8, 0.1, 0.1]))
    assert at_a_point == pytest.approx([0.0, 0.0], abs=1e-6)
    assert at_a_point.dtype == torch.float32
    assert centres.geometric_median(torch.ones(4, 2)) == pytest.approx([1.0, 1.0])
    assert centres.geometric_median(heavy[1:2]) == pytest.approx([4.0, 0.0])


def test_the_mean_can_be_a_data_point_that_is_no_median():
    """Weiszfeld's own iteration starts there and stays; the correction leaves."""
    points = torch.tensor([[0.0, 0.0], [5.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [-3.0, -3.0]])
    assert torch.equal(points.mean(0), points[0])
    median = centres.geometric_median(points)
    assert float((points - median).norm(dim=1).mean()) < float(points.norm(dim=1).mean()) - 0.05


def test_separated_clusters_are_found():
    anchors = 100 * cloud(0, 5, 3)
    points = (anchors[:, None] + 0.1 * cloud(1, 40, 3).view(5, 8, 3)).flatten(0, 1)
    found = (
        centres.k_means(points, 5, seed=0),
        centres.k_medians(points, 5, seed=0),
        centres.ot_means(points, 5, seed=3, rounds=50).centres,
    )
    assert wasserstein(found[0], anchors).value < 0.2
    assert wasserstein(found[1], anchors).value < 0.2
    assert wasserstein(points, found[2]).value >= wasserstein(points, found[1]).value - 1e-9


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(2, 6))
def test_medians_never_raise_the_distance(seed, count):
    points = cloud(seed, 40, 3)
    course = centres.ot_means(points, count, seed=seed).distances
    assert all(b <= a + 1e-6 for a, b in pairwise(course))
    for update in ("mean", "median"):
        result = centres.ot_means(points, count, seed=seed, update=update)
        value = wasserstein(points, result.centres).value
        assert value == pytest.approx(min(result.distances), abs=1e-9)
        assert value <= result.distances[0]


def test_edges():
    points = cloud(0, 12, 2)
    for function in (centres.k_means, centres.k_medians):
        assert wasserstein(function(points, 12, seed=0), points).value == pytest.approx(0, abs=1e-9)
        assert function(points.float(), 3, seed=0).dtype == torch.float32
    assert centres.k_means(points, 1, seed=0)[0] == pytest.approx(points.mean(0).numpy())
    assert centres.k_medians(points, 1, seed=0)[0] == pytest.approx(
        centres.geometric_median(points).numpy(), abs=1e-5
    )
    assert centres.ot_means(points, 12, seed=0).distances[-1] == pytest.approx(
        0, abs=1e-12
    )  # as many as data: copies


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    points = cloud(0, 4, 2)
    for function in (centres.k_means, centres.k_medians, centres.ot_means):
        for count in (0, 5):
            with pytest.raises(ValueError, match="count must be from 1 to 4"):
                function(points, count, seed=0)
        with pytest.raises(ValueError, match="points must be finite"):
            function(points * math.inf, 2, seed=0)
    with pytest.raises(ValueError, match='update must be "mean" or "median"'):
        centres.ot_means(points, 2, seed=0, update="mode")
    with pytest.raises(ValueError, match="weights must be non-negative"):
        centres.geometric_median(points, torch.ones(4))
    with pytest.raises(RuntimeError, match="did not settle within 1 iterations"):
        centres.geometric_median(points, iterations=1)
