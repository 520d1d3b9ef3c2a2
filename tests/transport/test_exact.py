import math
import subprocess
import sys

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from kexue.transport import _assignment, closed_forms, cost, exact
from kexue.transport.certified import certified_wasserstein
from kexue.transport.cost import distances, euclidean
from kexue.transport.exact import wasserstein, wasserstein_batch

SEEDS = st.integers(0, 2**32)


def cloud(seed, n, d, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masses(seed, n, empty=0):
    weights = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    weights[:empty] = 0
    return weights / weights.sum()


def ties(seed, n, d):
    """Points on a coarse grid: many coincide, many distances are equal."""
    return torch.randint(0, 3, (n, d), generator=torch.Generator().manual_seed(seed)).double()


def peer(x, y, a=None, b=None):
    """POT's network simplex, on scipy-like differences."""
    a, b = (np.full(len(p), 1 / len(p)) if w is None else w.numpy() for p, w in ((x, a), (y, b)))
    cost = np.linalg.norm(x.numpy()[:, None] - y.numpy()[None], axis=2)
    return ot.emd2(a, b, cost, numItermax=10**7)


def prove(x, y, solved, a=None, b=None, cost=None):
    """The coupling has the marginals and costs the value; the potentials are feasible, tight and worth the same."""
    n, m = len(x), len(y)
    a, b = (torch.full((k,), 1 / k, dtype=torch.float64) if w is None else w for k, w in ((n, a), (m, b)))
    cost = (x[:, None].double() - y.double()).norm(dim=2) if cost is None else cost
    plan = solved.coupling.dense(n, m)
    scale = float(cost.abs().max())
    assert (solved.coupling.mass > 0).all()
    assert len(solved.coupling.mass) <= n + m
    assert plan.sum(1) == pytest.approx(a.numpy(), abs=1e-12)
    assert plan.sum(0) == pytest.approx(b.numpy(), abs=1e-12)
    assert float((plan * cost).sum()) == pytest.approx(solved.value, abs=1e-11 * scale)
    slack = cost - solved.potentials.x[:, None] - solved.potentials.y
    assert float(slack.min()) >= -1e-11 * scale
    assert float(slack[plan > 1e-12].max()) <= 1e-10 * scale
    assert float(a @ solved.potentials.x + b @ solved.potentials.y) == pytest.approx(
        solved.value, abs=1e-10 * scale
    )


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_agrees_with_the_peers_and_proves_itself(seed, n, m, d, equal, weighted, tied):
    m = n if equal else m
    draw = ties if tied else cloud
    x, y = draw(seed, n, d), draw(seed + 1, m, d)
    a, b = (masses(seed, n, n // 4), masses(seed + 1, m, m // 3)) if weighted else (None, None)
    solved = wasserstein(x, y, weights_x=a, weights_y=b, coupling=True, potentials=True)
    assert solved.value == pytest.approx(peer(x, y, a, b), abs=1e-10)
    prove(x, y, solved, a, b)
    if n == m and not weighted:
        cost = (x[:, None] - y).norm(dim=2).numpy()
        rows, columns = linear_sum_assignment(cost)
        assert solved.value == pytest.approx(cost[rows, columns].mean(), abs=1e-10)
    if d == 1:
        left, right = (None if w is None else w.numpy() for w in (a, b))
        assert solved.value == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0], left, right), abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 40), st.integers(1, 40))
def test_invariances(seed, n, d):
    x, y = cloud(seed, n, d), cloud(seed + 1, n, d)
    shift = cloud(seed + 2, 1, d)
    value = wasserstein(x, y).value
    assert wasserstein(x + shift, y + shift).value == pytest.approx(value, abs=1e-10)
    assert wasserstein(x, x + shift).value == pytest.approx(float(shift.norm()), abs=1e-10)
    assert wasserstein(y, x).value == pytest.approx(value, abs=1e-10)
    assert wasserstein(3 * x, 3 * y).value == pytest.approx(3 * value, abs=1e-10)
    assert wasserstein(x.flip(0), y).value == pytest.approx(value, abs=1e-10)
    assert wasserstein(x, x).value == 0
    rotation = torch.linalg.qr(cloud(seed + 3, d, d)).Q
    assert wasserstein(x @ rotation, y @ rotation).value == pytest.approx(value, abs=1e-10)


@pytest.mark.parametrize("d", [2, 50])
def test_a_line_in_space_is_a_line(d):
    x, y, direction = cloud(0, 30, 1), cloud(1, 30, 1), torch.nn.functional.normalize(cloud(2, 1, d))
    on_a_line, in_space = wasserstein(x, y), wasserstein(x @ direction, y @ direction)
    assert (on_a_line.solver, in_space.solver) == ("sorting", "Jonker–Volgenant")
    assert in_space.value == pytest.approx(on_a_line.value, abs=1e-10)
    assert on_a_line.value == pytest.approx(
        float((x.sort(0).values - y.sort(0).values).abs().mean()), abs=1e-12
    )


def test_radial_laws_move_along_rays():
    directions = torch.nn.functional.normalize(cloud(0, 40, 6))
    inner, outer = torch.rand(40, 1, dtype=torch.float64), 1 + torch.rand(40, 1, dtype=torch.float64)
    value = wasserstein(directions * inner, directions * outer).value
    assert value == pytest.approx(float((outer - inner).mean()), abs=1e-10)
    assert wasserstein(2 * directions, 5 * directions).value == pytest.approx(3, abs=1e-10)
    assert wasserstein(directions, torch.zeros(1, 6).double()).value == pytest.approx(1, abs=1e-10)


def test_gaussians_on_a_line_in_the_limit():
    quantiles = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    normal = torch.special.ndtri(quantiles)[:, None]
    value = wasserstein(normal, 0.7 + 1.5 * normal).value
    assert value == pytest.approx(closed_forms.gaussians_on_a_line(0.7, 1, 1.5), abs=2e-5)


def test_the_solver_follows_geometry_and_masses():
    assert wasserstein(cloud(0, 9, 1), cloud(1, 5, 1)).solver == "sorting"
    assert wasserstein(cloud(0, 9, 2), cloud(1, 9, 2)).solver == "Jonker–Volgenant"
    assert wasserstein(cloud(0, 9, 2), cloud(1, 8, 2)).solver == "network simplex"
    assert wasserstein(cloud(0, 9, 2), cloud(1, 9, 2), weights_x=masses(0, 9)).solver == "network simplex"


def hard(name, n):
    """Clouds on which a start could be useless or harmful."""
    x, y = cloud(0, n, 2), cloud(1, n, 2)
    return {
        "plane": (x, y),
        "high": (cloud(0, n, 100), cloud(1, n, 100)),
        "identical": (x, x.clone()),
        "far": (x, y + 1e6),
        "one point": (x, x[:1].expand(n, -1)),
        "all one point": (x[:1].expand(n, -1), x[:1].expand(n, -1)),
        "ties": (ties(0, n, 2), ties(1, n, 2)),
        "clusters": (1e-6 * x + 10 * ties(0, n, 1), 1e-6 * y + 10 * ties(1, n, 1)),
        "tiny": (1e-150 * x, 1e-150 * y),
        "huge": (1e100 * x, 1e100 * y),
    }[name]


@pytest.mark.parametrize("large", [10, 10**6])
@pytest.mark.parametrize(
    "name",
    [
        "plane",
        "high",
        "identical",
        "far",
        "one point",
        "all one point",
        "ties",
        "clusters",
        "tiny",
        "huge",
    ],
)
def test_a_start_changes_no_optimum(name, large, monkeypatch):
    monkeypatch.setattr(_assignment, "LARGE", large)
    x, y = hard(name, 60)
    cost = (x[:, None] - y).norm(dim=2).numpy()
    rows, columns = linear_sum_assignment(cost)
    truth = cost[rows, columns].mean()
    monkeypatch.setattr(_assignment, "START_FROM", 1)
    solved = wasserstein(x, y, coupling=True, potentials=True)
    assert solved.value == pytest.approx(truth, rel=1e-12, abs=0)
    assert wasserstein(x, y).value == pytest.approx(truth, rel=1e-12, abs=0)
    assert float(wasserstein_batch(x[None], y[None])[0]) == pytest.approx(truth, rel=1e-12, abs=0)
    prove(x, y, solved)


@pytest.mark.parametrize("name", ["gaussian", "twins"])
@pytest.mark.parametrize("n", [31, 32, 127])
def test_rows_brought_to_one_level_change_no_optimum(name, n, monkeypatch):
    x, y = cloud(0, n, 40), cloud(1, n, 40)
    x[: n // 2] *= 5  # levels far apart
    if name == "twins":
        y = x[torch.randperm(n, generator=torch.Generator().manual_seed(0))] + 1e-7 * y
    table = np.linalg.norm(x.numpy()[:, None] - y.numpy(), axis=2)
    truth = table[linear_sum_assignment(table)].mean()
    taken = []
    monkeypatch.setattr(_assignment, "_shares", lambda n: taken.append(n) or np.full(n, 1 / n))
    found = [wasserstein(x, y).value, *wasserstein_batch(torch.stack([x, y]), torch.stack([y, x]), threads=1)]
    assert taken == ([n, n] if n >= _assignment.CENTRE_FROM else [])
    assert [float(value) for value in found] == pytest.approx(
        [truth] * 3, rel=1e-9 if name == "twins" else 1e-13
    )
    assert wasserstein(x, x).value == 0


def test_a_start_is_near_the_optimal_potentials_or_none():
    """Most rows and columns are then tight: little is left to search."""
    x, y = cloud(0, 300, 30), cloud(1, 300, 30)
    cost = distances(x, y).numpy()
    u, v = _assignment.start(cost)
    optimal = _assignment.prices(cost, _assignment.assign(cost))
    assert np.corrcoef(u, optimal)[0, 1] > 0.9
    assert np.corrcoef(cost.min(axis=1), optimal)[0, 1] < 0.9  # what the plain algorithm begins with
    assert u.sum() + v.sum() < 1.02 * cost[np.arange(300), _assignment.assign(cost)].sum()
    assert _assignment.start(np.full((5, 5), 2.0)) is None
    assert _assignment.start(np.array([[0.0, 1e300], [1e300, 0.0]])) is None


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 12))
def test_any_cost_matrix(seed, n, m):
    x, y, cost = cloud(seed, n, 2), cloud(seed, m, 2), 10 * cloud(seed + 1, n, m)
    solved = wasserstein(x, y, metric=cost, coupling=True, potentials=True)
    uniform = np.full(n, 1 / n), np.full(m, 1 / m)
    lifted = cost - cost.min()  # POT refuses costs that are all negative
    assert solved.value == pytest.approx(ot.emd2(*uniform, lifted.numpy()) + float(cost.min()), abs=1e-10)
    prove(x, y, solved, cost=cost)


def by_copies(cost, left, right):
    """The least cost between integer masses: each point is copied as often as its mass, and copies are assigned."""
    copied = np.repeat(np.repeat(cost, left, axis=0), right, axis=1)
    return float(copied[linear_sum_assignment(copied)].mean())


@pytest.mark.parametrize("scale", [1e300, 1e100, 1e11, 1.0, 1e-8, 1e-11, 1e-15, 1e-100, 1e-300])
@pytest.mark.parametrize("moved", [0.0, -3.0])
@pytest.mark.parametrize(
    ("left", "right"),
    [([2] * 6, [3] * 4), ([1, 2, 3, 1, 5], [4, 4, 1, 1, 2]), ([7, 1, 1], [1, 8]), ([1], [1]), ([3, 2], [5])],
)
def test_values_and_potentials_are_exact_at_any_scale(left, right, moved, scale):
    """Against copies and Hungarian assignment, which knows no tolerance; bars are relative to the largest cost."""
    left, right = np.array(left), np.array(right)
    x, y = cloud(0, len(left), 3), cloud(1, len(right), 3)
    a, b = (torch.from_numpy(mass / mass.sum()) for mass in (left, right))
    cost = (x[:, None] - y).norm(dim=2) + moved
    truth = by_copies(cost.numpy(), left, right)
    scaled = cost * scale
    solved = wasserstein(x, y, weights_x=a, weights_y=b, metric=scaled, coupling=True, potentials=True)
    largest = float(cost.abs().max())
    assert solved.value / scale == pytest.approx(truth, rel=0, abs=1e-14 * largest)
    prove(x, y, solved, a, b, cost=scaled)


@pytest.mark.parametrize("scale", [1e-8, 1e-11, 1e-15, 1e-150])
@pytest.mark.parametrize("d", [2, 5, 20])
def test_small_points_are_as_exact_as_large_ones(d, scale):
    x, y = cloud(0, 6, d) + 2, cloud(1, 4, d)
    truth = by_copies((x[:, None] - y).norm(dim=2).numpy(), 2, 3)
    solved = wasserstein(x * scale, y * scale, coupling=True, potentials=True)
    assert solved.value / scale == pytest.approx(truth, rel=1e-13)
    prove(x * scale, y * scale, solved)


@pytest.mark.parametrize("d", [2, 3, 5, 20])
def test_distances_that_underflow_are_refused_like_those_that_overflow(d):
    x, y = cloud(0, 6, d), cloud(1, 6, d)
    alone, away = x[:1].expand(6, -1) * 1e-200, y.clone()
    away[1:] *= 1e-200
    for solve in (
        wasserstein,
        certified_wasserstein,
        lambda x, y: wasserstein(x, y[:4]),
        lambda x, y: wasserstein_batch(x[None], y[None]),
        lambda x, y: wasserstein_batch(torch.stack([cloud(2, 6, d), x]), torch.stack([cloud(3, 6, d), y])),
    ):
        for scale, message in ((1e-160, "underflow"), (1e-200, "underflow"), (1e200, "overflow")):
            with pytest.raises(ValueError, match=f"x and y must lie .*{message}"):
                solve(x * scale, y * scale)
        solve(alone, alone)  # points that coincide are at distance zero
        solve(x * 1e-200, away)  # a distance of one is near enough to exact
    assert wasserstein(alone, alone[:2]).value == 0


def test_pot_is_imported_only_where_it_is_needed():
    """It takes seconds, and sets of one size with equal masses never need it."""
    script = (
        "import sys, torch\nfrom kexue.transport.exact import wasserstein\nx = torch.eye(3)\nwasserstein(x, x)\n"
        "assert 'ot' not in sys.modules\nwasserstein(x, x[:2])\nassert 'ot' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_cost_matrix_of_any_layout():
    x, cost = cloud(0, 12, 2), cloud(1, 12, 12)
    assert wasserstein(x, x, metric=cost.T).value == wasserstein(x, x, metric=cost.T.contiguous()).value


def test_dtypes_and_devices_follow():
    x, y = cloud(0, 20, 3, torch.float32), cloud(1, 20, 3, torch.float32)
    solved = wasserstein(x, y, coupling=True, potentials=True)
    assert solved.value == pytest.approx(wasserstein(x.double(), y.double()).value, abs=1e-12)
    assert {solved.coupling.mass.dtype, solved.potentials.x.dtype} == {torch.float64}
    assert wasserstein(x.half(), y.half()).value == pytest.approx(solved.value, rel=1e-2)
    assert not x.requires_grad
    assert isinstance(wasserstein(x.requires_grad_(), y).value, float)
    if torch.cuda.is_available():
        there = wasserstein(x.cuda(), y.cuda(), coupling=True, potentials=True)
        assert there.coupling.mass.is_cuda
        assert there.potentials.y.is_cuda
        assert there.value == pytest.approx(solved.value, abs=1e-10)


def test_a_batch_is_its_pairs(monkeypatch):
    x, y = cloud(0, 7 * 12, 4).view(7, 12, 4), cloud(1, 7 * 9, 4).view(7, 9, 4)
    alone = torch.tensor([wasserstein(a, b).value for a, b in zip(x, y, strict=True)], dtype=torch.float64)
    for threads in (None, 1, 3):
        assert wasserstein_batch(x, y, threads=threads) == pytest.approx(alone.numpy(), abs=1e-12)
    for n, d in ((9, 1), (9, 2), (9, 40)):
        x, y = cloud(0, 7 * n, d).view(7, n, d), cloud(1, 7 * n, d).view(7, n, d)
        x[2, 3:5] = y[2, 4]
        alone = [wasserstein(a, b).value for a, b in zip(x, y, strict=True)]
        for entries in (exact.BATCH_ENTRIES, 100):
            monkeypatch.setattr(exact, "BATCH_ENTRIES", entries)
            assert wasserstein_batch(x, y, threads=2) == pytest.approx(alone, abs=1e-12)
    ragged = wasserstein_batch([cloud(0, 3, 2), cloud(0, 8, 5)], [cloud(1, 4, 2), cloud(1, 8, 5)])
    assert ragged[0] == pytest.approx(wasserstein(cloud(0, 3, 2), cloud(1, 4, 2)).value, abs=1e-12)
    assert wasserstein_batch([], []).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 30), st.sampled_from([2, 40]), st.sampled_from([1.0, 1e-6, 1e6]))
def test_distances_keep_their_digits(seed, n, d, scale):
    x = cloud(seed, n, d) * scale + 100 * scale
    y = torch.cat([x[: n // 2] + 1e-7 * scale * cloud(seed + 1, n // 2, d), cloud(seed + 2, 20, d) * scale])
    truth = (x[:, None] - y).norm(dim=2)
    assert distances(x, y) == pytest.approx(truth.numpy(), rel=1e-10)
    assert distances(x, x).diagonal().abs().max() == 0


@settings(max_examples=30, deadline=None)
@given(
    SEEDS,
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([(), (3,)]),
    st.sampled_from([1.0, 1e-150, 1e150]),
)
def test_distances_in_the_plane(seed, n, m, sets, scale):
    """Blocks of any size, stacks, points that coincide, coordinates that are not neighbours in memory."""
    draw = np.random.default_rng(seed)
    x, y = draw.standard_normal((*sets, n, 3)) * scale, draw.standard_normal((*sets, m, 3)) * scale
    y[..., 0, :] = x[..., -1, :]
    x, y = x[..., ::2], y[..., ::2]
    truth = np.hypot(*np.moveaxis(x[..., :, None, :] - y[..., None, :, :], -1, 0))
    for held in (cost.IN_CACHE, 1, 3 * m):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cost, "IN_CACHE", held)
            found = euclidean(x, y)
        assert found == pytest.approx(truth, rel=4e-16, abs=0)
        assert np.all(found[..., -1, 0] == 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_the_plane_is_left_where_squares_prove_nothing(bad):
    x, y = np.zeros((4, 2)), np.ones((5, 2))
    x[1, 0] = bad
    found = euclidean(x, y)
    assert np.isfinite(found[[0, 2, 3]]).all()
    assert not np.isfinite(found[1]).any()


def test_prices_refuse_what_is_not_optimal():
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).numpy()
    assert _assignment.prices(cost, np.array([0, 1])) == pytest.approx([0, 0])
    with pytest.raises(ValueError, match="not an optimal assignment"):
        _assignment.prices(cost, np.array([1, 0]))


def test_a_simplex_that_gives_up_is_an_error(monkeypatch):
    monkeypatch.setattr(_assignment, "PIVOTS", 1)
    with (
        pytest.warns(UserWarning, match="numItermax"),
        pytest.raises(RuntimeError, match="network simplex did not finish on 30 × 20"),
    ):
        wasserstein(cloud(0, 30, 2), cloud(1, 20, 2))


@pytest.mark.usefixtures("as_a_user")
def test_refuses():
    x, y = cloud(0, 4, 2), cloud(1, 4, 2)
    hole = x.clone()
    hole[2, 1] = math.nan
    far = y.clone()
    far[0, 0] = math.inf
    for arguments, message in (
        ((x[:0], y), r"x must have shape .* got \(0, 2\)"),
        ((x, y[0]), r"y must have shape .* got \(2,\)"),
        ((x, y[:, :0]), "y must have shape"),
        ((hole, y), "x must be finite, got NaN or infinity in row 2"),
        ((x, far), "y must be finite, got NaN or infinity in row 0"),
        ((hole[:, :1] / 0, y[:, :1]), "x must be finite"),
        ((1e200 * x, y), "their distances overflow"),
        ((x, cloud(1, 4, 3)), r"as many coordinates, got \(2,\) and \(3,\)"),
        ((x, y.float()), "must share dtype and device"),
    ):
        with pytest.raises(ValueError, match=message):
            wasserstein(*arguments)
    with pytest.raises(TypeError, match="x must be a floating-point tensor, got"):
        wasserstein(x.long(), y.long())
    for weights, message in (
        (torch.ones(3) / 3, r"weights_x must have shape \(4,\).* got \(3,\)"),
        (torch.ones(4), "weights_x must be non-negative and sum to 1, got sum 4"),
        (torch.tensor([0.5, 0.5, 0.5, -0.5]), "non-negative .* least -0.5"),
        (torch.tensor([0.5, 0.5, 0.0, math.nan]), "weights_x must be non-negative"),
    ):
        with pytest.raises(ValueError, match=message):
            wasserstein(x, y, weights_x=weights)
    with pytest.raises(ValueError, match='metric must be "euclidean" or a cost matrix'):
        wasserstein(x, y, metric="cosine")
    with pytest.raises(ValueError, match=r"metric must have shape \(4, 4\)"):
        wasserstein(x, y, metric=torch.zeros(4, 3))
    with pytest.raises(ValueError, match="metric must be finite"):
        wasserstein(x, y, metric=torch.full((4, 4), math.nan))
    with pytest.raises(ValueError, match="as many point sets, got 2 and 1"):
        wasserstein_batch([x, x], [y])
    with pytest.raises(ValueError, match="threads must be ≥ 1"):
        wasserstein_batch([x], [y], threads=0)
    for pairs in (([x, hole], [y, y]), (torch.stack([x, hole]), torch.stack([y, y]))):
        with pytest.raises(ValueError, match="x must be finite"):
            wasserstein_batch(*pairs, threads=2)
    with pytest.raises(ValueError, match=r"y must have shape \(sets"):
        wasserstein_batch(x[None], y[None, None])


def test_masses_within_rounding_of_one_are_taken():
    x, y = cloud(0, 3, 2, torch.float32), cloud(1, 3, 2, torch.float32)
    third = torch.full((3,), 1 / 3) + 1e-6
    assert wasserstein(x, y, weights_x=third).value == pytest.approx(wasserstein(x, y).value, abs=1e-9)
