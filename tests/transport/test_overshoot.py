import math

import numpy as np
import pytest
import torch

from kexue.transport.overshoot import Cubic, best_cubic, congestion, interpolates


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("w", "weight"), [(1.0, 10.0), (3.0, 0.5)])
def test_congestion_is_the_optimum_over_all_slopes_on_a_line(w, weight):
    """Samples in narrow bins, each with the slope that is best for it: no formula, no density."""
    bins = np.linspace(-6, w + 6, 121)
    u, e = np.random.default_rng(0).random((2, 2_000_000))
    x, y, z = np.random.default_rng(1).standard_normal((3, 2_000_000))
    passed = np.histogram(z + u * w, bins)[0] / len(u)
    looked = np.histogram(e * (x + w) + (1 - e) * y, bins)[0] / len(u)
    known = looked > 1e-5
    slope = 1 + w * passed[known] / (2 * weight * looked[known])
    reported = w * (slope * passed[known]).sum()
    assert reported == pytest.approx(w + w**2 / (2 * weight) * congestion(w), rel=5e-3)
    assert congestion(w) > 1


def test_interpolates_are_of_independent_points():
    points = interpolates(200_000, 2.0, 3, generator=generator())
    assert points.mean(0).tolist() == pytest.approx([1.0, 0.0, 0.0], abs=0.02)
    # ε² + (1 − ε)² is two thirds on average, and the mean moves by 2ε
    assert points.var(0).tolist() == pytest.approx([2 / 3 + 4 / 12, 2 / 3, 2 / 3], abs=0.02)


@pytest.mark.parametrize("d", [2, 5])
def test_a_cubic_critic_earns_what_autograd_says(d):
    critic, w, weight = Cubic(0.7, 0.4), 2.0, 3.0
    points = interpolates(50, w, d, generator=generator())
    leaves = points.clone().requires_grad_()
    value = leaves[:, 0] * (critic.slope + critic.bend * leaves[:, 1:].square().sum(1) / (d - 1))
    (gradient,) = torch.autograd.grad(value.sum(), leaves)
    penalty = (gradient.norm(dim=1) - 1).square().mean()
    assert critic.reports(w) == pytest.approx(2 * 1.1)
    assert critic.earns(w, weight, points) == pytest.approx(critic.reports(w) - weight * float(penalty))


def test_the_report_of_a_cubic_critic_is_that_of_its_values():
    x = torch.randn(400_000, 4, generator=generator(), dtype=torch.float64)
    y = torch.randn(400_000, 4, generator=generator(1), dtype=torch.float64)
    x[:, 0] += 1.5
    critic = Cubic(0.9, 0.2)
    on_x, on_y = (
        (p[:, 0] * (critic.slope + critic.bend * p[:, 1:].square().sum(1) / 3)).mean() for p in (x, y)
    )
    assert float(on_x - on_y) == pytest.approx(critic.reports(1.5), abs=0.02)


def test_the_best_cubic_is_best_near_by_and_beats_the_linear_one_on_fresh_points():
    w, weight = 1.0, 1.0
    points = interpolates(20_000, w, 16, generator=generator())
    best = best_cubic(w, weight, points)
    most = best.earns(w, weight, points)
    for a, c in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert Cubic(best.slope + a, best.bend + c).earns(w, weight, points) < most
    fresh = interpolates(20_000, w, 16, generator=generator(1))
    assert best.earns(w, weight, fresh) > 1.1 * (w + w**2 / (4 * weight))


def test_where_the_penalty_looks_along_the_paths_the_linear_critic_is_best():
    y, u = torch.randn(100_000, 16, generator=generator(), dtype=torch.float64), torch.rand(100_000)
    y[:, 0] += u
    best = best_cubic(1.0, 1.0, y)
    assert best.slope + best.bend == pytest.approx(1.5, abs=0.02)
    assert abs(best.bend) < 0.02


def test_refused_by_name():
    with pytest.raises(ValueError, match="distance"):
        congestion(0.0)
    with pytest.raises(ValueError, match="distance"):
        interpolates(3, math.nan, 2, generator=generator())
    with pytest.raises(ValueError, match="count"):
        interpolates(0, 1.0, 2, generator=generator())
    with pytest.raises(ValueError, match="weight"):
        best_cubic(1.0, 0.0, torch.zeros(3, 2).double())
    with pytest.raises(ValueError, match="2 coordinates"):
        best_cubic(1.0, 1.0, torch.zeros(3, 1).double())
    with pytest.raises(ValueError, match="points"):
        best_cubic(1.0, 1.0, torch.full((3, 2), math.nan).double())
