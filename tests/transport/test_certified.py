import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import certified
from kexue.transport.certified import certified_wasserstein
from kexue.transport.exact import wasserstein


def clouds(seed, n, m, d):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=source), torch.randn(m, d, generator=source) + 0.3


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 30]), st.booleans()
)
def test_the_bounds_hold_and_meet(seed, n, m, d, weighted):
    x, y = clouds(seed, n, m, d)
    a = b = None
    if weighted:
        a, b = (
            torch.rand(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for k in (n, m)
        )
        a[0], b[-1] = a[0] if n == 1 else 0, b[-1] if m == 1 else 0
        a, b = a / a.sum(), b / b.sum()
    exact = wasserstein(x, y, weights_x=a, weights_y=b).value
    found = certified_wasserstein(x, y, weights_x=a, weights_y=b, tolerance=0.05)
    assert found.lower <= exact + 1e-9
    assert exact <= found.upper + 1e-9
    assert found.gap <= 0.05
    cost = (x[:, None].double() - y.double()).norm(dim=2)
    assert float((cost - found.potentials.x[:, None] - found.potentials.y).min()) >= -1e-9


def test_stopping_early_costs_precision_and_no_truth(monkeypatch):
    x, y = clouds(0, 60, 60, 2)
    exact = wasserstein(x, y).value
    fine = certified_wasserstein(x, y, tolerance=2e-3)
    assert fine.gap <= 2e-3
    monkeypatch.setattr(certified, "COLDEST", 0.1)
    coarse = certified_wasserstein(x, y, tolerance=2e-3)
    assert coarse.gap > 2e-3
    assert coarse.steps < fine.steps
    for found in (fine, coarse):
        assert found.lower - 1e-12 <= exact <= found.upper + 1e-12


def test_translations_and_identical_sets(monkeypatch):
    x, _ = clouds(0, 30, 30, 5)
    shifted = certified_wasserstein(x, x + 10, tolerance=1e-3)
    assert shifted.lower <= 10 * 5**0.5 + 1e-5
    assert shifted.gap <= 1e-3
    monkeypatch.setattr(certified, "COLDEST", 1e-2)
    same = certified_wasserstein(x, x)
    assert abs(same.lower) < 1e-9
    assert same.upper < 0.5
    point = certified_wasserstein(x[:1], x[:1])
    assert (point.lower, point.upper, point.gap) == (0, 0, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    x, y = clouds(0, 500, 400, 10)
    there, here = certified_wasserstein(x.cuda(), y.cuda()), certified_wasserstein(x, y)
    assert there.potentials.x.is_cuda
    assert (there.lower, there.upper) == pytest.approx((here.lower, here.upper), rel=1e-6)


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    x, y = clouds(0, 4, 4, 2)
    with pytest.raises(ValueError, match="tolerance must be a finite number > 0"):
        certified_wasserstein(x, y, tolerance=0)
    with pytest.raises(ValueError, match="x must be finite"):
        certified_wasserstein(x / 0, y)
    with pytest.raises(ValueError, match="weights_y must be non-negative"):
        certified_wasserstein(x, y, weights_y=torch.ones(4))
