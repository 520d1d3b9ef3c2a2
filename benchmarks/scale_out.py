"""What placing runs on Dask costs and gains, beside a papermill loop and beside the plain script.

    python benchmarks/scale_out.py [loop] [overhead] [growth] [stored] [--chapters leaderboard …] [--repeats 5] [--record]
    python benchmarks/scale_out.py --tiny             # a generated book of one chapter: only to see that it runs

* loop: all chapters × 3 seeds at smoke scale, `kexue run` beside a loop that calls papermill on one notebook after another
* overhead: one run of a chapter by `kexue run`, by papermill alone, and as a plain script of the same cells
* growth: 1,000 units that do nothing on 1, 2, 4 and 8 workers: units a second, and how long the scheduler was busy
* stored: `kexue run` with nothing stale and 1,000 stored runs
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jupytext
from generated import FIRST, write_book
from record import add_options, record

from kexue.press.project import find_root
from kexue.press.results.benchmarks import Value
from kexue.press.sources.catalogue import catalogue

root = find_root(Path(__file__).parent)
seeds = 3


def timed(call: Callable[[], Any]) -> float:
    """Wall seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(repeats: int, **calls: Callable[[], Any]) -> dict[str, float]:
    """The median time of each call; the calls take turns, so that a busy moment hits them alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            taken[name].append(timed(call))
    return {name: statistics.median(times) for name, times in taken.items()}


def shell(*command: str, store: Path | None = None, cwd: Path | None = None, **env: str) -> None:
    """Run a command quietly; its last words are shown if it fails."""
    where = {"KEXUE_STORE": str(store)} if store else {}
    done = subprocess.run(
        command, cwd=cwd or root, env={**os.environ, **where, **env}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def notebooks(folder: Path, slugs: list[str]) -> dict[str, Path]:
    """The chapters as notebooks, for papermill."""
    found = {}
    for chapter in catalogue(root):
        if not slugs or chapter.slug in slugs:
            found[chapter.slug] = folder / f"{chapter.slug}.ipynb"
            jupytext.write(chapter.notebook, found[chapter.slug])
    return found


def papermill(notebook: Path, seed: int) -> None:
    """Execute a notebook at smoke scale with papermill alone."""
    out = str(notebook.with_name("out.ipynb"))
    parameters = ("-p", "profile", "smoke", "-p", "seed", str(seed), "-p", "device", "cpu")
    shell(
        sys.executable,
        "-m",
        "papermill",
        str(notebook),
        out,
        "-k",
        "python3",
        *parameters,
        cwd=notebook.parent,
    )


def row(
    case: str, measured: float, unit: str, beside: str = "", ratio: float | None = None
) -> dict[str, Value]:
    """A row of the record: what was measured, and its ratio to what stands beside it."""
    return {
        "case": case,
        "measured": round(measured, 3),
        "unit": unit,
        "beside": beside,
        "ratio": None if ratio is None else round(ratio, 3),
    }


def loop(slugs: list[str], repeats: int) -> list[dict[str, Value]]:
    """All chapters × seeds: the press beside a sequential loop."""
    with tempfile.TemporaryDirectory() as folder:
        made = notebooks(Path(folder), slugs)

        def sequential() -> None:
            for notebook in made.values():
                for seed in range(seeds):
                    papermill(notebook, seed)

        def pressed() -> None:
            kexue = (
                sys.executable,
                "-m",
                "kexue.cli",
                "run",
                *made,
                "--profile",
                "smoke",
                f"--seeds={seeds}",
            )
            shell(*kexue, "--force", "--device", "cpu", store=Path(folder) / "store")

        pressed()  # so that past durations are known, as they are to a maintainer
        found = medians(repeats, sequential=sequential, pressed=pressed)
    units = len(made) * seeds
    print(
        f"loop: {units} runs, papermill one after another {found['sequential']:.1f} s, kexue run {found['pressed']:.1f} s: "
        f"{found['sequential'] / found['pressed']:.2f}×"
    )
    beside = f"papermill one after another, {found['sequential']:.1f} s"
    case = f"{units} runs at smoke scale, kexue run"
    return [row(case, found["pressed"], "s", beside, found["sequential"] / found["pressed"])]


def overhead(slug: str, repeats: int) -> list[dict[str, Value]]:
    """One run: the press and papermill beside the plain script of the same cells."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = notebooks(folder, [slug])[slug]
        script = folder / "script.py"
        text = jupytext.writes(jupytext.read(made), fmt="py:percent")
        script.write_text(text.replace('profile = "quick"', 'profile = "smoke"'))
        one = ("--profile", "smoke", "--seeds", "1", "--jobs", "1", "--device", "cpu", "--force")
        found = medians(
            repeats,
            script=lambda: shell(sys.executable, str(script), cwd=folder, MPLBACKEND="agg"),
            papermill=lambda: papermill(made, 0),
            pressed=lambda: shell(
                sys.executable, "-m", "kexue.cli", "run", slug, *one, store=folder / "store"
            ),
        )
    print(
        f"overhead, {slug}: script {found['script']:.2f} s, papermill {found['papermill']:.2f} s "
        f"({found['papermill'] / found['script']:.2f}×), kexue run {found['pressed']:.2f} s "
        f"({found['pressed'] / found['script']:.2f}×)"
    )
    beside = f"the plain script, {found['script']:.2f} s"
    return [
        row(f"one run of {slug}, {name}", found[key], "s", beside, found[key] / found["script"])
        for name, key in (("papermill alone", "papermill"), ("kexue run", "pressed"))
    ]


def _nothing(task: Any, topic: str, number: int) -> Any:
    """A unit that does nothing: what `perform` would do, without a process."""
    from kexue.press.cluster.task import TaskResult, TaskStatus

    failure = {"kind": "nothing", "message": "nothing"}
    return TaskResult(TaskStatus.FAILED, task.key, "nothing", failure=failure)


def growth(count: int = 1000, on: Sequence[int] = (1, 2, 4, 8)) -> list[dict[str, Value]]:
    """Units that do nothing on more and more workers, each a process of its own."""
    from distributed import Client, LocalCluster

    from kexue.press.cluster import scheduler as press
    from kexue.press.store.plan import plan
    from kexue.press.store.store import Store

    press.perform = _nothing  # type: ignore[attr-defined]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        (unit,) = plan(store, catalogue(root)[:1], profile="smoke", device="cpu", seeds=(0,))
        units = [
            replace(
                unit,
                seed=seed,
                fingerprint=replace(unit.fingerprint, parameters={"profile": "smoke", "seed": seed}),
            )
            for seed in range(count)
        ]
        for workers in on:
            options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
            with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
                client.wait_for_workers(workers)
                dispatch = press.Dispatcher(client, store, True, lambda event: None)
                before = resource.getrusage(resource.RUSAGE_SELF)
                seconds = timed(partial(dispatch.run, units))
                after = resource.getrusage(resource.RUSAGE_SELF)
            busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"growth: {count} units on {workers} workers: {count / seconds:.0f} units a second; "
                f"scheduler and client busy {busy / seconds:.0%} of a core"
            )
            beside = f"scheduler and client busy {busy / seconds:.0%} of a core"
            rows.append(
                row(f"{count} units of nothing on {workers} workers", count / seconds, "units/s", beside)
            )
    return rows


def stored(slug: str, repeats: int, count: int = 1000) -> list[dict[str, Value]]:
    """A command with nothing to do, in a store of many runs."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        one = (slug, "--profile", "smoke", "--seeds", "1", "--device", "cpu")
        shell(sys.executable, "-m", "kexue.cli", "run", *one, store=store)
        (run,) = (store / "runs").glob("*/*")
        for number in range(count - 1):
            copy = store / "runs" / f"{number:032x}" / "copy"
            copy.mkdir(parents=True)
            for file in run.iterdir():
                os.link(file, copy / file.name)
        found = medians(
            repeats, command=lambda: shell(sys.executable, "-m", "kexue.cli", "run", *one, store=store)
        )
        kept = len(json.loads((run / "manifest.json").read_text())["files"])
    print(
        f"stored: kexue run with nothing stale and {count} stored runs of {kept} files: {found['command']:.2f} s"
    )
    return [row(f"kexue run with nothing stale and {count} stored runs", found["command"], "s")]


def main() -> None:
    """Measure the parts asked for."""
    global root, seeds
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["loop", "overhead", "growth", "stored"])
    parser.add_argument("--chapters", nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    options = parser.parse_args()
    slugs, repeats, count = options.chapters, options.repeats, 1000
    workers: tuple[int, ...] = (1, 2, 4, 8)
    with tempfile.TemporaryDirectory() as folder:
        if options.tiny:
            root = write_book(Path(folder), 1).root
            seeds, slugs, repeats, count, workers = 1, [FIRST], 1, 5, (1,)
        alone = slugs or ["leaderboard"]
        parts: dict[str, Callable[[], list[dict[str, Value]]]] = {
            "loop": lambda: loop(slugs, repeats),
            "overhead": lambda: [line for slug in alone for line in overhead(slug, repeats)],
            "growth": lambda: growth(count, workers),
            "stored": lambda: stored(alone[0], repeats, count),
        }
        for part in options.what:
            found = parts[part]()
            if options.record:
                print(f"recorded in {record(f'scale_out {part}', found)}")


if __name__ == "__main__":
    main()
