"""Cells, normalisation, flows, hierarchy, spectral norms, schedules, quality measures."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from kexue.density.nvae import hierarchy, quality, schedule, spectral
from kexue.density.nvae.cells import Cell, Halve
from kexue.density.nvae.flows import Flow, FlowCell
from kexue.density.nvae.normalisation import Activated

SOURCE = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("training", [True, False])
def test_recomputed_batch_norm_and_swish_has_the_same_value_gradient_and_statistics(training):
    x = torch.randn(6, 3, 4, 4, generator=SOURCE, dtype=torch.float64)
    found = []
    for recompute in (False, True):
        layer = Activated(3, norm="batch", activation="swish", recompute=recompute).double().train(training)
        with torch.no_grad():
            layer.norm.weight.copy_(torch.tensor([0.5, 1.5, -1.0]))
            layer.norm.running_mean.fill_(0.2)
        entered = x.clone().requires_grad_()
        out = layer(entered)
        (out * torch.arange(out.numel()).view_as(out)).sum().backward()
        norm = layer.norm
        found.append(
            (out, entered.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
        )
    for plain, fused in zip(*found, strict=True):
        assert torch.allclose(plain, fused, atol=1e-9)


@pytest.mark.parametrize("kind", ["regular", "separable"])
@pytest.mark.parametrize(("resize", "size"), [("keep", 8), ("halve", 4), ("double", 16)])
@pytest.mark.parametrize("norm", ["batch", "weight", "batch+weight"])
def test_cells_have_the_size_they_promise(kind, resize, size, norm):
    cell = Cell(4, 8, kind=kind, resize=resize, expansion=2, norm=norm)
    assert cell(torch.randn(2, 4, 8, 8, generator=SOURCE)).shape == (2, 8, size, size)
    assert any(isinstance(m, nn.BatchNorm2d) for m in cell.modules()) == ("batch" in norm)
    assert any("original0" in name for name, _ in cell.named_parameters()) == ("weight" in norm)


def test_a_cell_starts_near_its_skip():
    cell = Cell(4, 4)
    x = torch.randn(8, 4, 8, 8, generator=SOURCE)
    assert (cell(x) - x).std().item() < 0.1 * float(x.std())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Cell(4, 4, kind="dense"), "kind must be regular or separable"),
        (lambda: Cell(4, 4, norm="layer"), "norm must be one of"),
        (lambda: Halve(4, 6), "multiple of 4"),
        (lambda: FlowCell(2, 2, kind="spline"), "kind must be affine or shift"),
    ],
)
def test_bad_parts_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("kind", ["affine", "shift"])
@pytest.mark.parametrize("reverse", [False, True])
def test_log_determinant_is_autograds(kind, reverse):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        cell = FlowCell(2, 3, kind=kind, reverse=reverse).double()
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.normal_()
    z = torch.randn(1, 2, 3, 3, generator=SOURCE, dtype=torch.float64)
    features = torch.randn(1, 3, 3, 3, generator=SOURCE, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda at: cell(at, features)[0].flatten(), z).view(18, 18)
    assert cell(z, features)[1].item() == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-8)
    raster = jacobian.view(2, 9, 2, 9).permute(1, 0, 3, 2).reshape(18, 18)  # pixel first, then channel
    assert torch.equal(raster.triu(1) if not reverse else raster.tril(-1), torch.zeros(18, 18).double())
    if kind == "shift":
        assert cell(z, features)[1].item() == 0
        assert torch.equal(cell(z, features)[0], cell(z, 5 * features)[0])


def test_pairs_of_flows_add_their_determinants():
    flow = Flow(2, 3, pairs=2)
    z, volume = flow(torch.randn(2, 2, 3, 3, generator=SOURCE), torch.randn(2, 3, 3, 3, generator=SOURCE))
    assert len(flow.cells) == 4
    assert z.shape == (2, 2, 3, 3)
    assert volume.shape == (2,)


@pytest.mark.parametrize(
    ("groups", "sizes", "total"),
    [
        (hierarchy.groups_per_scale(5, 16, minimum=4), (8, 16, 32, 64, 128), 6_005_760),
        (hierarchy.groups_per_scale(2, 10), (4, 8), 14_400),
        ([30], (16,), 153_600),
        ([28], (16,), 143_360),
        (hierarchy.groups_per_scale(3, 20), (8, 16, 32), 467_200),
    ],
)
def test_the_papers_latent_sizes(groups, sizes, total):
    assert hierarchy.latent_size(groups, sizes, 20) == total


def test_bad_hierarchies_are_named():
    with pytest.raises(ValueError, match="of one length"):
        hierarchy.latent_size([1], [4, 8], 2)
    with pytest.raises(ValueError, match="must be ≥ 1"):
        hierarchy.groups_per_scale(0, 3)


def test_penalty_is_the_sum_of_largest_singular_values():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3), nn.Conv2d(5, 5, 3, groups=5))
    penalty = spectral.SpectralPenalty(model, generator=torch.Generator().manual_seed(1))
    for _ in range(30):
        total = penalty()
    want = sum(float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)) for layer in model)
    assert total.item() == pytest.approx(want, rel=1e-4)
    total.backward()
    assert all(layer.weight.grad is not None for layer in model)


def test_operator_norm_is_the_matrix_norm_of_the_circular_convolution():
    weight = torch.randn(2, 3, 3, 3, generator=SOURCE, dtype=torch.float64)

    def circular(x):
        padded = nn.functional.pad(x.view(1, 3, 5, 5), (1, 1, 1, 1), mode="circular")
        return nn.functional.conv2d(padded, weight).flatten()

    matrix = torch.autograd.functional.jacobian(circular, torch.zeros(75, dtype=torch.float64))
    assert spectral.operator_norm(weight, 5) == pytest.approx(
        float(torch.linalg.matrix_norm(matrix, ord=2)), rel=1e-10
    )
    depthwise = weight[:, :1]
    alone = max(spectral.operator_norm(depthwise[i : i + 1], 5) for i in range(2))
    assert spectral.operator_norm(depthwise, 5, groups=2) == pytest.approx(alone, rel=1e-10)


def test_warm_up_has_the_right_ends():
    assert schedule.warm_up(0, 1_000) == 1e-4
    assert schedule.warm_up(150, 1_000) == pytest.approx((150 - 0.1) / 300)
    assert schedule.warm_up(301, 1_000) == 1.0
    assert schedule.warm_up(0, 10, portion=0) == 1.0
    with pytest.raises(ValueError, match="steps must be ≥ 1"):
        schedule.warm_up(0, 0)


def test_balance_has_mean_one_and_charges_quiet_groups_little():
    alpha = schedule.size_weights([1, 2])
    assert alpha == [1.0, 2.0, 2.0]
    gamma = schedule.balance(torch.tensor([[4.0, 1.0, 0.0]]).requires_grad_(), alpha)
    assert float(gamma.mean()) == pytest.approx(1)
    assert gamma[0] > gamma[1] > gamma[2] > 0
    assert not gamma.requires_grad


def test_learning_rate_rises_and_falls():
    rates = [schedule.learning_rate(step, 100, 1e-2, 1e-4, 10) for step in range(101)]
    assert rates[9] == pytest.approx(1e-2)
    assert rates[100] == pytest.approx(1e-4)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_precision_and_recall_of_known_sets():
    real = torch.randn(100, 2, generator=SOURCE)
    assert quality.precision_recall(real, real.clone()) == (1.0, 1.0)
    assert quality.precision_recall(real, real + 100) == (0.0, 0.0)
    narrow = 0.01 * torch.randn(100, 2, generator=SOURCE)
    precision, recall = quality.precision_recall(real, narrow)
    assert precision > 0.9
    assert recall < 0.2
    with pytest.raises(ValueError, match="k must be"):
        quality.precision_recall(real[:3], real)


def test_sharpness_of_known_images():
    grid = torch.arange(16)
    checker = ((grid[:, None] + grid) % 2).float()[None, None]
    slow = torch.cos(2 * math.pi * grid / 16).expand(1, 1, 16, 16)
    assert quality.sharpness(checker) == pytest.approx(1)
    assert quality.sharpness(slow) == pytest.approx(0, abs=1e-9)


def test_nearest_distance_is_scipys():
    from scipy.spatial import cKDTree

    a, b = torch.randn(20, 3, generator=SOURCE), torch.randn(30, 3, generator=SOURCE)
    assert np.allclose(quality.nearest_distance(a, b), cKDTree(b.numpy()).query(a.numpy())[0], atol=1e-5)
