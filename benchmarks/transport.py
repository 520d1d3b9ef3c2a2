"""Exact W1 beside POT, scipy and lapx; blocked c-transforms beside dense torch and geomloss; critics a second.

    python benchmarks/transport.py                     # n to 2,048; transforms of 8,000 points; about three minutes
    python benchmarks/transport.py --tiny              # seconds: only to see that it runs
    python benchmarks/transport.py --large             # n to 4,096; transforms of 20,000 points
    python benchmarks/transport.py --part transforms --points 100000 --device cuda

Exact values start from the points (float64, Gaussian clouds) and end at the number, cost matrix included, for everybody.
A peer's cost matrix is the faster of scipy's and POT's at that size and dimension, measured on the spot; lapx takes part
with its classic `lapjv` and with its fastest solver, `lapjvr`. Times are the best of interleaved repeats. All values
must agree to 1e-9. Batches give the same total work to a loop over each peer and to lapx's own threaded batch; ours takes
a thread a processor, so on the wall's clock it has them all and a loop has one, and on the processor's they count.

Transforms: the same points, potentials and temperature; time of a forward pass, of forward and backward, and the most
bytes that tensors held at a time (KeOps allocates outside torch, so its own are not seen). KeOps takes part where
`pykeops` is installed and a compiler is there (its first call compiles); the table says so where it does not.

Before trusting it: on a loaded machine the best of few repeats of a long solve is not the solve's time. Small sets come as
many different pairs, as in use: one pair repeated teaches the processor each branch of its solve, and is solved four times
as fast as a new one. Ours checks its input, the peers do not.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import lap
import numpy as np
import ot
import torch
from geomloss._legacy.sinkhorn_samples import softmin_online_lazytensor, softmin_tensorized
from record import add_options, record
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from kexue.decoding.memory import TensorMemory
from kexue.press.results.benchmarks import Value
from kexue.transport import rules
from kexue.transport.ctransform import c_transform, soft_c_transform
from kexue.transport.exact import wasserstein, wasserstein_batch
from kexue.transport.stack import StackedCritic
from kexue.transport.training import train_critics

DIMENSIONS = (2, 64, 784)
BATCHES: tuple[tuple[int, int, int], ...] = (
    (400, 64, 2),
    (400, 64, 64),
    (100, 64, 784),
    (50, 256, 64),
    (20, 512, 64),
    (6, 1024, 64),
)  # pairs, n, d
TEMPERATURE = 0.1
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock, clock_name = time.perf_counter, "wall"
patience = 1.5  # seconds for the repeats of one comparison
Cost = Callable[[np.ndarray, np.ndarray], np.ndarray]


def race(runners: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Best seconds of each runner, taking turns after one round that does not count while that is quick."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    begin = time.perf_counter()
    while True:
        for name, run in runners.items():
            start = clock()
            run()
            times[name].append(clock() - start)
        if time.perf_counter() - begin > patience or len(times[name]) > 200:
            return {name: min(taken[1:] or taken) for name, taken in times.items()}


def solve_pot(cost: np.ndarray) -> float:
    """POT's network simplex, its limit of pivots raised (by default it stops early at n = 2,048 in the plane)."""
    return float(ot.emd2([], [], cost, numItermax=10**9))


def solve_scipy(cost: np.ndarray) -> float:
    """scipy's assignment."""
    return float(cost[linear_sum_assignment(cost)].mean())


PEERS: dict[str, Callable[[np.ndarray], float]] = {
    "POT emd2": solve_pot,
    "scipy": solve_scipy,
    "lapx lapjv": lambda cost: float(lap.lapjv(cost)[0]) / len(cost),
    "lapx lapjvr": lambda cost: float(lap.lapjvr(cost)[0]) / len(cost),
}


def pot_cost(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """POT's Euclidean distances."""
    return np.asarray(ot.dist(x, y, metric="euclidean"))


def fastest_cost(x: np.ndarray, y: np.ndarray) -> Cost:
    """Whichever of scipy's and POT's distances is faster here."""
    routes: dict[str, Cost] = {"scipy": cdist, "POT": pot_cost}
    taken = race({name: partial(route, x, y) for name, route in routes.items()})
    return routes[min(taken, key=lambda name: taken[name])]


KEPT: list[dict[str, Value]] = []  # what `--record` writes


def keep(case: str, ours: float, peer: float, unit: str, ratio: float) -> None:
    """Keep a comparison with the best peer for the record; the ratio is how much better ours is."""
    figures: dict[str, Value] = {
        "ours": float(f"{ours:.3g}"),
        "best peer": float(f"{peer:.3g}"),
        "unit": unit,
    }
    KEPT.append({"case": case, **figures, "ours better by": round(ratio, 2), "clock": clock_name})


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print columns, right-aligned."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print()


def each(solve: Callable[[np.ndarray], float], cost: Cost, pairs: np.ndarray) -> list[float]:
    """A peer's value of each pair, one after the other."""
    return [solve(cost(x, y)) for x, y in pairs]


def ours_each(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """Our value of each pair, one after the other."""
    return [wasserstein(x, y).value for x, y in pairs]


def compare_exact(sizes: Sequence[int], costs: int = 2**18) -> None:
    """One pair of clouds at a time; of small ones as many different pairs as make up `costs`, a quarter million."""
    rows, ratios = [], []
    for n, d in itertools.product(sizes, DIMENSIONS):
        count = max(1, costs // n**2)
        clouds = np.random.default_rng(n + d).standard_normal((count, 2, n, d))
        pairs = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in clouds]
        cost = fastest_cost(*clouds[0])
        values = {name: solve(cost(*clouds[0])) for name, solve in PEERS.items()} if n <= 1024 else {}
        ours = wasserstein(*pairs[0])
        if any(not math.isclose(value, ours.value, abs_tol=1e-9) for value in values.values()):
            raise SystemExit(f"n = {n}, d = {d}: {values} against {ours.value}")
        runners: dict[str, Callable[[], object]] = {"ours": partial(ours_each, pairs)}
        for name, solve in PEERS.items():
            runners[name] = partial(each, solve, cost, clouds)
        taken = {name: seconds / count for name, seconds in race(runners).items()}
        best = min(taken[name] for name in PEERS)
        ratios.append(best / taken["ours"])
        keep(f"exact W1, n = {n:,}, d = {d}", 1e3 * taken["ours"], 1e3 * best, "ms", ratios[-1])
        rows.append(
            [
                f"{n:,}",
                str(d),
                *(f"{1e3 * taken[name]:,.3g}" for name in taken),
                f"{best / taken['ours']:.2f}×",
                f"{max(taken[name] for name in PEERS) / taken['ours']:.1f}×",
                ours.solver,
            ]
        )
    print("exact W1 of one pair, milliseconds, points to value; ours against the best and the worst peer")
    table(["n", "d", "ours", *PEERS, "best", "worst", "solver chosen"], rows)
    print(f"best peer at each point over ours: {min(ratios):.2f}× to {max(ratios):.2f}×\n")


def lapx_batch(cost: Cost, pairs: np.ndarray) -> object:
    """lapx's own threaded batch."""
    return lap.lapjvr_batch(np.stack([cost(x, y) for x, y in pairs]))


def compare_batches(batches: Sequence[tuple[int, int, int]]) -> None:
    """Many small pairs, as a training loop or a mean over draws has them."""
    rows = []
    for pairs, n, d in batches:
        x, y = np.random.default_rng(n + d).standard_normal((2, pairs, n, d))
        left, right = torch.from_numpy(x), torch.from_numpy(y)
        cost = fastest_cost(x[0], y[0])
        runners: dict[str, Callable[[], object]] = {"ours": partial(wasserstein_batch, left, right)}
        clouds = np.stack([x, y], axis=1)
        for name, solve in PEERS.items():
            runners[name] = partial(each, solve, cost, clouds)
        runners["lapjvr_batch"] = partial(lapx_batch, cost, clouds)
        taken = race(runners)
        peers = [taken[name] for name in taken if name != "ours"]
        best = min(peers)
        keep(
            f"exact W1 of {pairs} pairs, n = {n:,}, d = {d}",
            1e3 * taken["ours"],
            1e3 * best,
            "ms",
            best / taken["ours"],
        )
        rows.append(
            [
                f"{pairs} of {n}",
                str(d),
                *(f"{1e3 * value:,.1f}" for value in taken.values()),
                f"{min(peers) / taken['ours']:.2f}×",
                f"{max(peers) / taken['ours']:.1f}×",
            ]
        )
    print("exact W1 of many pairs, milliseconds")
    table(["pairs", "d", "ours", *PEERS, "lapjvr_batch", "best", "worst"], rows)


class Pass(NamedTuple):
    """A transform of potentials f at x, seen from y."""

    name: str
    run: Callable[[Tensor, Tensor, Tensor], Tensor]


def dense_soft(f: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(c, ε)-transform with the whole matrix."""
    return -TEMPERATURE * (torch.logsumexp((f - torch.cdist(y, x)) / TEMPERATURE, 1) - math.log(len(x)))


def geomloss_soft(f: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """geomloss, the whole matrix."""
    found: Tensor = softmin_tensorized(
        TEMPERATURE, torch.cdist(y, x)[None], (f / TEMPERATURE - math.log(len(x)))[None]
    )[0]
    return found


def keops_soft(f: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """geomloss, KeOps' lazy matrix."""
    found: Tensor = softmin_online_lazytensor(
        TEMPERATURE, (y[None], x[None]), (f / TEMPERATURE - math.log(len(x)))[None], p=1
    )[0]
    return found


def compare_transforms(points: int, device: str, dense: bool) -> None:
    """Time and memory of the hard and the soft transform."""
    passes = [
        Pass("ours, hard", c_transform),
        Pass("dense, hard", lambda f, x, y: (torch.cdist(y, x) - f).min(1).values),
        Pass("ours, soft", lambda f, x, y: soft_c_transform(f, x, y, TEMPERATURE)),
        Pass("dense, soft", dense_soft),
        Pass("geomloss dense, soft", geomloss_soft),
    ]
    if importlib.util.find_spec("pykeops"):
        passes.append(Pass("geomloss KeOps, soft", keops_soft))
    else:
        print("KeOps: absent (pip install pykeops)")
    rows = []
    for d in (2, 64):
        source = torch.Generator().manual_seed(0)
        inputs = [
            torch.randn(*shape, generator=source).to(device)
            for shape in ((points,), (points, d), (points, d))
        ]
        spent: dict[str, float] = {}
        truth: dict[str, Tensor] = {}
        for name, run in passes:
            if "dense" in name and not dense:
                continue
            few = [tensor[:100].clone().requires_grad_() for tensor in inputs]
            try:
                run(*few).sum().backward()  # type: ignore[no-untyped-call]  # KeOps compiles on its first call
            except (
                ImportError
            ) as error:  # a compilation that was cut short leaves half a file in KeOps' cache
                print(f"{name}: absent ({error})")
                continue
            seconds = dict.fromkeys((False, True), math.inf)
            for backward in (False, True, False, True):
                leaves = [tensor.clone().requires_grad_(backward) for tensor in inputs]
                with TensorMemory() as memory:
                    start = clock()
                    value = run(*leaves)
                    if backward:
                        value.sum().backward()  # type: ignore[no-untyped-call]
                    if device == "cuda":
                        torch.cuda.synchronize()
                    seconds[backward] = min(seconds[backward], clock() - start)
            kind = name.split(", ")[1]
            value = value.detach()
            off = float((value - truth.setdefault(kind, value)).abs().max())
            rows.append(
                [
                    name,
                    str(d),
                    f"{seconds[False]:.2f}",
                    f"{seconds[True]:.2f}",
                    f"{memory.peak / 1e6:,.0f}",
                    f"{off:.0e}",
                ]
            )
            spent.setdefault(name, seconds[True])
            del value, leaves
        for kind in ("hard", "soft"):
            ours = spent[f"ours, {kind}"]
            peer = min(
                (taken for name, taken in spent.items() if name.endswith(kind) and "ours" not in name),
                default=0,
            )
            case = f"{kind} transform and its backward pass, {points:,} points, d = {d}"
            if peer:
                keep(case, ours, peer, "s", peer / ours)
    print(f"transforms of {points:,} by {points:,} points, float32, {device}")
    table(["", "d", "forward s", "with backward s", "peak MB", "off ours by"], rows)


def plain_critics(models: int, steps: int, data: Tensor, fake: Tensor) -> None:
    """WGAN-GP as one writes it: a module and an optimiser a critic, one after the other."""
    for _ in range(models):
        critic = nn.Sequential(
            nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
        )
        optimiser = torch.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.0, 0.9))
        for _ in range(steps):
            x, y = (pool[torch.randint(len(pool), (64,))] for pool in (data, fake))
            share = torch.rand(64, 1)
            between = (share * x + (1 - share) * y).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = critic(y).mean() - critic(x).mean() + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def compare_critics(steps: int, counts: Sequence[int]) -> None:
    """Critic steps a second, batch 64, d = 64, two hidden layers of 128, penalty 10."""
    data, fake = torch.randn(2, 1000, 64, generator=torch.Generator().manual_seed(0))
    rows = []
    for models in counts:
        source = torch.Generator().manual_seed(0)
        critic = StackedCritic(models, (64, 128, 128), generator=source)
        kinds = rules.Rules([rules.gradient_penalty()] * models)

        def ours(
            critic: StackedCritic = critic, kinds: rules.Rules = kinds, source: torch.Generator = source
        ) -> None:
            draws = [lambda n, pool=pool: pool[torch.randint(len(pool), (n,))][None] for pool in (data, fake)]
            train_critics(critic, kinds, *draws, steps=steps, generator=source)

        taken = race({"ours": ours, "plain": partial(plain_critics, models, steps, data, fake)})
        rates = {name: models * steps / value for name, value in taken.items()}
        case = f"WGAN-GP critics, {models} together"
        keep(case, rates["ours"], rates["plain"], "steps/s", rates["ours"] / rates["plain"])
        rows.append(
            [
                str(models),
                *(f"{rate:,.0f}" for rate in rates.values()),
                f"{rates['ours'] / rates['plain']:.2f}×",
            ]
        )
    print("WGAN-GP critic steps a second, all critics together")
    table(["critics", "ours", "plain", "ours/plain"], rows)


def main() -> None:
    """Run the parts asked for."""
    global clock, clock_name, patience
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--part", choices=["exact", "batches", "transforms", "critics"], action="append")
    parser.add_argument("--threads", type=int, default=1, help="of torch and of matrix products")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: of this process, for a machine that others load",
    )
    parser.add_argument("--points", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    add_options(parser)
    options = parser.parse_args()
    clock, clock_name = CLOCKS[options.clock], options.clock
    torch.set_num_threads(options.threads)
    parts = options.part or ["exact", "batches", "transforms", "critics"]
    sizes = [64, 256, 1024, 4096] if options.large else [64, 256, 1024, 2048]
    points = options.points or (20_000 if options.large else 8_000)
    batches, steps = BATCHES, 50
    critics: tuple[int, ...] = (1, 4, 16)
    if options.tiny:
        patience, sizes, points, batches, steps, critics = 0.0, [16], 200, ((4, 16, 2),), 2, (1,)
    if "exact" in parts:
        compare_exact(sizes, 2**8 if options.tiny else 2**18)
    if "batches" in parts:
        compare_batches(batches)
    if "transforms" in parts:
        compare_transforms(points, options.device, dense=points <= 20_000)
    if "critics" in parts:
        compare_critics(steps, critics)
    if options.record:
        print(f"recorded in {record('transport', KEPT)}")


if __name__ == "__main__":
    main()
