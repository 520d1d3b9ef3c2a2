import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import closed_forms, debiased
from kexue.transport.exact import wasserstein


def normal(d, scale=1.0, shift=0.0):
    def draw(size, generator):
        return scale * torch.randn(size, d, generator=generator, dtype=torch.float64) + shift

    return draw


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_batches_of_one_have_a_closed_form():
    found = debiased.batch_wasserstein(
        normal(5), normal(5, 0.4), 1, draws=1500, generator=source(), threads=1
    )
    assert found.mean == pytest.approx(closed_forms.single_draw_gaussians(5, 1, 0.4), abs=4 * found.error)
    assert found.error == pytest.approx(float(found.draws.std()) / math.sqrt(1500))


def test_the_batch_distance_lies_above_the_truth_and_falls_with_m():
    means = [
        debiased.batch_wasserstein(
            normal(8), normal(8, 1, 0.3), m, draws=60, generator=source(), threads=1
        ).mean
        for m in (1, 8, 64)
    ]
    assert means[0] > means[1] + 0.2 > means[2] + 0.4
    assert means[2] > 0.3 * math.sqrt(8)
    own = debiased.batch_wasserstein(normal(8), normal(8), 64, draws=30, generator=source(), threads=1)
    assert own.mean > 1  # although the two laws are the same


def test_against_one_point_the_batch_size_does_not_matter():
    def nothing(size, generator):
        return torch.zeros(size, 6, dtype=torch.float64)

    for m in (1, 16):
        found = debiased.batch_wasserstein(
            normal(6), nothing, m, draws=2000 // m, generator=source(), threads=1
        )
        assert found.mean == pytest.approx(closed_forms.mean_norm(6), abs=4 * found.error)


def test_debiasing_has_mean_zero_for_equal_laws_and_finds_the_right_scale():
    same = debiased.debiased_wasserstein(normal(4), normal(4), 16, draws=80, generator=source(), threads=1)
    assert abs(same.mean) < 4 * same.error
    energy = debiased.debiased_wasserstein(
        normal(3), normal(3, 0.5), 1, draws=1500, generator=source(), threads=1
    )
    truth = 2 * math.sqrt(1.25) - math.sqrt(2) - math.sqrt(2) / 2
    assert energy.mean == pytest.approx(truth * closed_forms.mean_norm(3), abs=4 * energy.error)
    shrunk = {
        scale: debiased.batch_wasserstein(
            normal(32), normal(32, scale), 16, draws=30, generator=source(), threads=1
        ).mean
        for scale in (0.3, 1.0)
    }
    assert shrunk[0.3] < shrunk[1.0]  # the plain batch distance prefers the shrunken law


def test_halves_share_no_point():
    pool = torch.arange(8.0, dtype=torch.float64)[:, None]
    seen = []

    def spy(size, generator):
        seen.append(debiased.from_pool(pool)(size, generator))
        return seen[-1]

    debiased.debiased_wasserstein(spy, spy, 4, draws=2, generator=source(), threads=1)
    assert all(len(batch.unique()) == 8 for batch in seen)
    with pytest.raises(ValueError, match="size must be from 1 to 8"):
        debiased.debiased_wasserstein(spy, spy, 5, draws=2, generator=source())


def test_one_draw_is_the_four_distances():
    found = debiased.debiased_wasserstein(normal(2), normal(2, 2), 3, draws=2, generator=source(5), threads=1)
    again = source(5)
    for value in found.draws.tolist():
        x, x2 = normal(2)(6, again).split(3)
        y, y2 = normal(2, 2)(6, again).split(3)
        w = [wasserstein(*pair).value for pair in ((x, y), (x2, y2), (x, x2), (y, y2))]
        assert value == pytest.approx(w[0] + w[1] - w[2] - w[3], abs=1e-12)


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
    for name, size, draws in (("size", 0, 2), ("draws", 2, 1)):
        for function in (debiased.batch_wasserstein, debiased.debiased_wasserstein):
            with pytest.raises(ValueError, match=f"^{name} must be"):
                function(pool, pool, size, draws=draws, generator=source())
    with pytest.raises(ValueError, match="must be as long"):
        debiased.crossover([1, 2], [1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="sizes must increase"):
        debiased.crossover([2, 2], [1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="points must be distinct"):
        debiased.intrinsic_dimension(torch.zeros(20, 2))
    with pytest.raises(ValueError, match="neighbours must be from 2 to 19"):
        debiased.intrinsic_dimension(torch.rand(20, 2), neighbours=20)
