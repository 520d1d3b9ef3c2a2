import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kexue.transport import bounds
from kexue.transport.exact import wasserstein

SEEDS = st.integers(0, 2**32)


def critic(seed, d, width, gain):
    """A random network, of any steepness."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(d, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
    return lambda points: gain * network(points).detach().flatten()


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([1, 2, 20, 64]),
    st.floats(0, 100),
    st.booleans(),
)
def test_no_critic_exceeds_the_exact_value(seed, n, m, d, gain, tied):
    source = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, d, generator=source), torch.randn(m, d, generator=source) + 0.3
    if tied:
        x, y = x.round(), y.round()
    f = critic(seed % 1000, d, 16, gain)
    exact = wasserstein(x, y).value
    assert bounds.lipschitz_bound(f(x), f(y), x, y) <= exact + 1e-5
    assert bounds.semidual_bound(f(x), x, y) <= exact + 1e-5
    assert bounds.semidual_bound(torch.zeros(n), x, y) <= exact + 1e-5


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 20), st.sampled_from([1, 2, 20]))
def test_the_optimal_potential_attains_both(seed, n, d):
    source = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, d, generator=source, dtype=torch.float64) for _ in range(2))
    solved = wasserstein(x, y, potentials=True)
    assert bounds.semidual_bound(solved.potentials.x, x, y) == pytest.approx(solved.value, abs=1e-9)
    on_x = (torch.cdist(x, y) - solved.potentials.y).min(1).values  # one 1-Lipschitz function on both sets
    on_y = (torch.cdist(y, y) - solved.potentials.y).min(1).values
    assert bounds.lipschitz_bound(on_x, on_y, x, y) == pytest.approx(solved.value, abs=1e-7)


def test_slopes():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bounds.steepest_slope(x.norm(dim=1), x) <= 1 + 1e-12
    assert bounds.steepest_slope(2 * x[:, :1].flatten(), x[:, :1]) == pytest.approx(2, abs=1e-9)
    assert bounds.steepest_slope(x[:1, 0], x[:1]) == 0
    assert bounds.lipschitz_bound(torch.ones(50).double(), torch.ones(50).double(), x, x + 1) == 0


def test_slopes_in_blocks(monkeypatch):
    x = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    whole = bounds.steepest_slope(x[:, 0] ** 2, x)
    monkeypatch.setattr(bounds, "BLOCK", 100)
    assert bounds.steepest_slope(x[:, 0] ** 2, x) == pytest.approx(whole, abs=1e-9)


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="two points coincide and their values differ"):
        bounds.steepest_slope(torch.tensor([0.0, 0.0, 1.0]), x)
    with pytest.raises(ValueError, match="potential must have shape"):
        bounds.lipschitz_bound(torch.zeros(2), torch.zeros(3), x, x)
    with pytest.raises(ValueError, match="potential must be finite"):
        bounds.semidual_bound(torch.full((3,), math.nan), x, x)
