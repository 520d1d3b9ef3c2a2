import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.decoding.memory import TensorMemory
from kexue.transport import ctransform
from kexue.transport.ctransform import c_transform, soft_c_transform

SEEDS = st.integers(0, 2**32)


def problem(seed, n, m, d, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=source, dtype=dtype) for shape in ((n,), (n, d), (m, d))]


def dense(f, x, y, epsilon=None):
    reduced = (y[:, None] - x).norm(dim=2) - f
    if epsilon is None:
        return reduced.min(1).values
    return -epsilon * (torch.logsumexp(-reduced / epsilon, 1) - math.log(len(x)))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 3, 30]), st.integers(1, 400))
def test_blocks_of_any_size_give_the_dense_result(seed, n, m, d, entries):
    f, x, y = problem(seed, n, m, d)
    size, ctransform.ENTRIES_CPU = ctransform.ENTRIES_CPU, entries
    try:
        assert c_transform(f, x, y) == pytest.approx(dense(f, x, y).numpy(), abs=1e-10)
        for epsilon in (0.05, 1.0):
            soft = soft_c_transform(f, x, y, epsilon)
            assert soft == pytest.approx(dense(f, x, y, epsilon).numpy(), abs=1e-9)
    finally:
        ctransform.ENTRIES_CPU = size


@pytest.mark.parametrize("d", [2, 20])
def test_gradients(d, monkeypatch):
    monkeypatch.setattr(ctransform, "ENTRIES_CPU", 12)
    inputs = [tensor.requires_grad_() for tensor in problem(0, 5, 7, d)]
    assert torch.autograd.gradcheck(c_transform, inputs)
    assert torch.autograd.gradgradcheck(c_transform, inputs)
    for epsilon in (0.1, 2.0):
        assert torch.autograd.gradcheck(lambda *given, e=epsilon: soft_c_transform(*given, e), inputs)


def test_gradients_where_points_coincide():
    f, x, _ = (tensor.requires_grad_() for tensor in problem(0, 6, 1, 20))
    for transform in (c_transform, lambda f, x, y: soft_c_transform(f, x, y, 0.1)):
        for gradient in torch.autograd.grad(
            transform(f, x, x.detach().clone().requires_grad_()).sum(), (f, x)
        ):
            assert torch.isfinite(gradient).all()


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 30), st.sampled_from([1, 2, 40]))
def test_properties(seed, n, d):
    f, x, y = problem(seed, n, n, d)
    transformed = c_transform(f, x, y)
    rise = (transformed[:, None] - transformed).abs() - (y[:, None] - y).norm(dim=2)
    assert float(rise.max()) <= 1e-10  # f^c is 1-Lipschitz
    assert (c_transform(transformed, y, x) >= f - 1e-10).all()  # (f^c)^c ≥ f
    assert c_transform(-transformed, y, y) == pytest.approx(
        transformed.numpy(), abs=1e-10
    )  # 1-Lipschitz: f^c = −f
    assert c_transform(f + 3, x, y) == pytest.approx(transformed.numpy() - 3, abs=1e-10)
    for epsilon in (1e-3, 0.3):
        excess = soft_c_transform(f, x, y, epsilon) - transformed
        assert float(excess.min()) >= -1e-9
        assert float(excess.max()) <= epsilon * math.log(n) + 1e-9


def test_the_sign_of_the_exponent():
    """A soft minimum stays near the least value; with the other sign it would be near the largest."""
    f, x = torch.zeros(2), torch.tensor([[0.0], [10.0]])
    assert float(soft_c_transform(f, x, torch.tensor([[1.0]]), 0.1)) == pytest.approx(
        1 + 0.1 * math.log(2), abs=1e-5
    )


def test_double_precision_on_demand():
    f, x, y = problem(0, 300, 200, 50, torch.float32)
    f, x, y = f, x + 30, y + 30
    for transform in (c_transform, lambda *given, **how: soft_c_transform(*given, 0.02, **how)):
        truth = transform(f.double(), x.double(), y.double())
        single, double = transform(f, x, y), transform(f, x, y, double=True)
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        assert torch.equal(double, truth)
        assert float((single - truth).abs().max()) < 5e-4
    leaf = x.clone().requires_grad_()
    c_transform(f, leaf, y, double=True).sum().backward()
    assert leaf.grad.dtype == torch.float32


@pytest.mark.parametrize("d", [2, 64])
@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_memory_grows_with_the_sum_of_the_sizes(d, epsilon, monkeypatch):
    monkeypatch.setattr(ctransform, "ENTRIES_CPU", 2**14)
    peaks = []
    for n in (1000, 2000):
        f, x, y = (tensor.requires_grad_() for tensor in problem(0, n, n, d, torch.float32))
        with TensorMemory() as memory:
            value = c_transform(f, x, y) if epsilon is None else soft_c_transform(f, x, y, epsilon)
            value.sum().backward()
        peaks.append(memory.peak)
        assert memory.peak < 4 * (12 * n * (d + 3) + 6 * 2**14)
        if d == 2:
            assert memory.peak < 4 * n * n / 5
    assert peaks[1] < 2.2 * peaks[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    f, x, y = problem(0, 500, 700, 30)
    for transform in (c_transform, lambda *given: soft_c_transform(*given, 0.1)):
        assert transform(f.cuda(), x.cuda(), y.cuda()).cpu() == pytest.approx(
            transform(f, x, y).numpy(), abs=1e-9
        )


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    f, x, y = problem(0, 4, 5, 3)
    with pytest.raises(ValueError, match=r"potential must have shape \(4,\).* got \(3,\)"):
        c_transform(f[:3], x, y)
    with pytest.raises(ValueError, match="float32"):
        soft_c_transform(f.float(), x, y, 1.0)
    with pytest.raises(ValueError, match="potential must be finite, got NaN or infinity in rows 0, 1, 2 …"):
        c_transform(f.log() * math.nan, x, y)
    with pytest.raises(ValueError, match="y must be finite"):
        c_transform(f, x, y / 0)
    for epsilon in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="epsilon must"):
            soft_c_transform(f, x, y, epsilon)
