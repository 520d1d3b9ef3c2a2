"""What placing runs on Dask costs and gains, beside a papermill loop and beside the plain script.

    python benchmarks/scale_out.py [loop] [overhead] [growth] [stored] [--chapters leaderboard …] [--repeats 5] [--record]

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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupytext
from record import record

from kexue.press.project import find_root
from kexue.press.sources.catalogue import catalogue

ROOT = find_root(Path(__file__).parent)
SEEDS = 3


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


def shell(*command: str, store: Path | None = None, cwd: Path = ROOT, **env: str) -> None:
    """Run a command quietly; its last words are shown if it fails."""
    where = {"KEXUE_STORE": str(store)} if store else {}
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **where, **env}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def notebooks(folder: Path, slugs: list[str]) -> dict[str, Path]:
    """The chapters as notebooks, for papermill."""
    found = {}
    for chapter in catalogue(ROOT):
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
) -> dict[str, Any]:
    """A row of the record: what was measured, and its ratio to what stands beside it."""
    return {
        "case": case,
        "measured": round(measured, 3),
        "unit": unit,
        "beside": beside,
        "ratio": None if ratio is None else round(ratio, 3),
    }


def loop(slugs: list[str], repeats: int) -> list[dict[str, Any]]:
    """All chapters × seeds: the press beside a sequential loop."""
    with tempfile.TemporaryDirectory() as folder:
        made = notebooks(Path(folder), slugs)

        def sequential() -> None:
            for notebook in made.values():
                for seed in range(SEEDS):
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
                f"--seeds={SEEDS}",
            )
            shell(*kexue, "--force", "--device", "cpu", store=Path(folder) / "store")

        pressed()  # so that past durations are known, as they are to a maintainer
        found = medians(repeats, sequential=sequential, pressed=pressed)
    units = len(made) * SEEDS
    print(
        f"loop: {units} runs, papermill one after another {found['sequential']:.1f} s, kexue run {found['pressed']:.1f} s: "
        f"{found['sequential'] / found['pressed']:.2f}×"
    )
    beside = f"papermill one after another, {found['sequential']:.1f} s"
    case = f"{units} runs at smoke scale, kexue run"
    return [row(case, found["pressed"], "s", beside, found["sequential"] / found["pressed"])]


def overhead(slug: str, repeats: int) -> list[dict[str, Any]]:
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


def _nothing(parcel: Any, topic: str, number: int) -> Any:
    """A unit that does nothing: what `perform` would do, without a process."""
    from kexue.press.cluster.task import Result

    return Result("failed", "nothing", "", None, {"kind": "nothing", "message": "nothing"})


def growth(count: int = 1000) -> list[dict[str, Any]]:
    """Units that do nothing on more and more workers, each a process of its own."""
    from distributed import Client, LocalCluster

    from kexue.press.cluster import scheduler as press
    from kexue.press.store.plan import plan
    from kexue.press.store.store import Store

    press.perform = _nothing
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        (unit,) = plan(store, catalogue(ROOT)[:1], profile="smoke", device="cpu", seeds=(0,))
        units = [
            replace(
                unit,
                seed=seed,
                fingerprint=replace(unit.fingerprint, parameters={"profile": "smoke", "seed": seed}),
            )
            for seed in range(count)
        ]
        for workers in (1, 2, 4, 8):
            options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
            with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
                client.wait_for_workers(workers)
                dispatch = press.Dispatch(client, store, True, lambda event: None)
                before = resource.getrusage(resource.RUSAGE_SELF)
                seconds = timed(lambda dispatch=dispatch: dispatch.run(units))
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


def stored(repeats: int, count: int = 1000) -> list[dict[str, Any]]:
    """A command with nothing to do, in a store of many runs."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        one = ("leaderboard", "--profile", "smoke", "--seeds", "1", "--device", "cpu")
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["loop", "overhead", "growth", "stored"])
    parser.add_argument("--chapters", nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="keep the figures for the book's Speed page")
    arguments = parser.parse_args()
    slugs = arguments.chapters
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "loop": lambda: loop(slugs, arguments.repeats),
        "overhead": lambda: [
            line for slug in slugs or ["leaderboard"] for line in overhead(slug, arguments.repeats)
        ],
        "growth": growth,
        "stored": lambda: stored(arguments.repeats),
    }
    for part in arguments.what:
        found = parts[part]()
        if arguments.record:
            print(f"recorded in {record(f'scale_out {part}', found)}")
