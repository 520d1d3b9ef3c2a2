import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport.exact import wasserstein
from kexue.transport.minfunnel import MinFunnel, gradient_agreement


def pair(seed, d, funnels, count, dtype=torch.float32):
    source = torch.Generator().manual_seed(seed)
    funnel = MinFunnel(d, funnels, generator=source, dtype=dtype)
    return funnel, funnel.sample(count, generator=source), funnel.sample(count, generator=source)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 16, 64, 128]), st.sampled_from([1, 4, 64, 256]))
def test_the_potential_falls_by_the_distance_moved(seed, d, funnels):
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
        funnel, (x, y), _ = pair(seed, d, funnels, 256, dtype)
        moved = (x - y).norm(dim=1)
        residual = funnel.potential(y) - funnel.potential(x) - moved
        assert float(residual.abs().max()) < tolerance
        assert float(x.abs().max()) <= 2.5 + 1e-5
        assert float(y.abs().max()) <= 2.5


@pytest.mark.parametrize(("d", "funnels"), [(2, 4), (16, 4), (64, 16)])
def test_the_coupling_is_optimal_and_the_value_that_of_independent_samples(d, funnels):
    funnel, (x, y), (other, _) = pair(1, d, funnels, 600, torch.float64)
    moved = (x - y).norm(dim=1)
    assert wasserstein(x, y).value == pytest.approx(float(moved.mean()), abs=1e-10)
    difference = funnel.potential(y).mean() - funnel.potential(other).mean()
    error = math.sqrt(2 * float(funnel.potential(x).var()) / 600 + float(funnel.potential(y).var()) / 600)
    assert float(difference) == pytest.approx(float(moved.mean()), abs=4 * error)


def test_one_apex_at_the_centre_by_hand():
    """On a line with the apex at zero, rays end at 2.5 and y goes to 2.5 (|y| / 2.5)^8: W1 = 1.25 − 2.5/9."""
    funnel, _, _ = pair(0, 1, 1, 1, torch.float64)
    funnel.apexes.zero_()
    x, y = funnel.sample(200_000, generator=torch.Generator().manual_seed(0))
    assert x == pytest.approx((y.sign() * 2.5 * (y.abs() / 2.5) ** 8).numpy(), abs=1e-9)
    assert float((x - y).abs().mean()) == pytest.approx(1.25 - 2.5 / 9, abs=5e-3)


def test_the_gradient_is_that_of_the_potential():
    funnel, (x, _), _ = pair(3, 16, 8, 50, torch.float64)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(funnel.potential(x).sum(), x)
    assert gradient == pytest.approx(funnel.gradient(x).detach().numpy(), abs=1e-9)
    assert gradient.norm(dim=1) == pytest.approx([1.0] * 50, abs=1e-9)


def test_agreement():
    truth = torch.nn.functional.normalize(
        torch.randn(100, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    assert gradient_agreement(3 * truth, truth) == pytest.approx((1, 4), abs=1e-5)
    assert gradient_agreement(-truth, truth) == pytest.approx((-1, 4), abs=1e-5)
    assert gradient_agreement(0 * truth, truth) == pytest.approx((0, 1), abs=1e-5)


def test_draws_follow_the_generator():
    assert torch.equal(pair(5, 3, 4, 10)[1].x, pair(5, 3, 4, 10)[1].x)
    assert not torch.equal(pair(5, 3, 4, 10)[1].x, pair(6, 3, 4, 10)[1].x)


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    source = torch.Generator()
    for d, funnels, name in ((0, 1, "d"), (1, 0, "funnels")):
        with pytest.raises(ValueError, match=f"^{name} must be ≥ 1"):
            MinFunnel(d, funnels, generator=source)
    funnel = MinFunnel(2, 3, generator=source)
    with pytest.raises(ValueError, match="count must be ≥ 1"):
        funnel.sample(0, generator=source)
    with pytest.raises(ValueError, match="as many coordinates"):
        funnel.potential(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="as many rows"):
        gradient_agreement(torch.zeros(4, 3), torch.zeros(5, 3))


def test_an_apex_that_is_drawn_stays():
    pair = MinFunnel(5, 3, generator=torch.Generator().manual_seed(1))
    drawn = pair.sample(
        20, generator=torch.Generator().manual_seed(1)
    )  # the same stream, so the apexes come again
    again = (drawn.y[:, None] == pair.apexes).all(2).any(1)
    assert again.any()
    assert torch.equal(drawn.x[again], drawn.y[again])
    assert torch.isfinite(drawn.x).all()
