import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import debiased


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_batches_of_a_pool_share_no_point():
    points = torch.arange(8.0)[:, None]
    draw, generator = debiased.from_pool(points), source()
    batches = [draw(8, generator) for _ in range(3)]
    assert all(torch.equal(batch.sort(0).values, points) for batch in batches)
    assert not torch.equal(batches[0], batches[1])
    assert len(draw(5, generator).unique()) == 5


def test_crossover():
    sizes = [1, 4, 16, 64]
    assert debiased.crossover(sizes, [3.0, 2.6, 2.2, 1.8], [2.2, 2.2, 2.1, 2.1]) == pytest.approx(
        2 ** (4 + 2 * 0.1 / 0.4)
    )
    assert debiased.crossover(sizes, [1.0] * 4, [2.0] * 4) == 1
    assert debiased.crossover(sizes, [3.0] * 4, [2.0] * 4) is None
    assert debiased.crossover(sizes, [1.0, 3.0, 1.0, 1.0], [2.0] * 4) == pytest.approx(
        8
    )  # counted from the last one


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3]), st.integers(3, 20))
def test_the_intrinsic_dimension_of_a_flat_sheet(seed, d, ambient):
    sheet = torch.rand(1500, d, generator=source(seed), dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(ambient, d, generator=source(seed + 1), dtype=torch.float64)).Q
    assert debiased.intrinsic_dimension(sheet @ basis.T) == pytest.approx(d, rel=0.2)


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    pool = debiased.from_pool(torch.zeros(4, 2))
    for size in (0, 5):
        with pytest.raises(ValueError, match=f"size must be from 1 to 4, got {size}"):
            pool(size, source())
    with pytest.raises(ValueError, match="must be as long"):
        debiased.crossover([1, 2], [1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="sizes must increase"):
        debiased.crossover([2, 2], [1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="points must be distinct"):
        debiased.intrinsic_dimension(torch.zeros(20, 2))
    with pytest.raises(ValueError, match="neighbours must be from 2 to 19"):
        debiased.intrinsic_dimension(torch.rand(20, 2), neighbours=20)
