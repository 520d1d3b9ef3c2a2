"""Runs units in parallel, each in a process of its own, and tells what happens to each."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from kexue.press.plan import Unit
from kexue.press.root import PressError, signal_name
from kexue.press.store import Store

GRACE = 3.0  # seconds a run gets to end its kernel before it is killed


@dataclass(frozen=True)
class Event:
    """Something that happened to a unit: started, waiting, kernel (pid), cell (index, of), reused, done, failed."""

    unit: Unit
    name: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: "done", "reused", "failed" with the reason; or "fresh", which needed no run."""

    unit: Unit
    status: str
    message: str = ""
    seconds: float | None = None


class Interrupted(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came while units were running; finished ones are stored, no kernel is left."""


class _Process:
    """The process of one unit; it leads a session of its own, so that a terminal's Ctrl-C reaches only us."""

    def __init__(self, unit: Unit, store: Store, *, threads: int, force: bool, log: Path) -> None:
        self.unit = unit
        self.store = store
        self.log = log
        self.ended = False
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "kexue.press.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        order = {
            "root": str(unit.chapter.root),
            "store": str(store.folder),
            "chapter": unit.chapter.slug,
            "profile": unit.profile,
            "seed": unit.seed,
            "device": unit.device,
            "key": unit.key,
            "threads": threads,
            "force": force,
            "log": str(log),
        }
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps(order) + "\n")
            self.popen.stdin.flush()  # left open: when this process dies, the worker reads the end of it

    def outcome(self, tell: Callable[[Event], None]) -> Outcome:
        """Follow the process to its end."""
        ending: dict[str, Any] = {}
        reused = False
        kernel: int | None = None
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            facts = json.loads(line)
            name = facts.pop("event")
            reused = reused or name == "reused"
            if name == "kernel":
                kernel = facts["pid"]
            if name in ("done", "failed"):
                ending = {"name": name, **facts}
            tell(Event(self.unit, name, facts))
        code = self.popen.wait()
        if ending.get("name") == "done" and code == 0:
            return Outcome(self.unit, "reused" if reused else "done", seconds=ending["seconds"])
        if ending.get("name") == "failed":
            return Outcome(self.unit, "failed", ending["message"])
        if kernel is not None:  # the process died before it could end its kernel
            with contextlib.suppress(OSError):
                os.killpg(kernel, signal.SIGKILL)
        if self.ended:
            return Outcome(self.unit, "failed", "ended with the command")
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        tail = (
            self.log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            if self.log.exists()
            else ""
        )
        message = f"the process of the run {how}" + (f"; its last words:\n{tail}" if tail else "")
        self._keep(message)
        return Outcome(self.unit, "failed", message)

    def _keep(self, message: str) -> None:
        """Put the crash on record, unless another command is making the very run right now."""
        with (
            contextlib.suppress(PressError, OSError, Timeout),
            self.store.lock(self.unit.key).acquire(blocking=False),
        ):
            failure = {"kind": "crash", "message": message}
            self.store.fail(self.store.workspace(self.unit.key), self.unit.key, failure)

    def end(self) -> None:
        self.ended = True
        with contextlib.suppress(OSError):
            self.popen.terminate()

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.popen.pid, signal.SIGKILL)


def run_units(
    units: Sequence[Unit], store: Store, *, jobs: int, force: bool, tell: Callable[[Event], None]
) -> list[Outcome]:
    """Run the units, at most `jobs` at a time, longest first; one that fails leaves the others alone.

    Each run's threads are the cores divided by `jobs`: two runs that both take every core slow each other manyfold.

    Args:
        units: what to run.
        store: where results go; written by the runs themselves.
        jobs: how many at a time, ≥ 1.
        force: whether to run again what is stored already.
        tell: called with each event, from the calling thread.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C, after every run has been ended.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be ≥ 1, got {jobs}")
    threads = max(1, len(os.sched_getaffinity(0)) // jobs) if hasattr(os, "sched_getaffinity") else 1
    waiting = sorted(units, key=lambda unit: unit.last.seconds if unit.last else float("inf"), reverse=True)
    events: queue.Queue[Event | Outcome] = queue.Queue()
    running: list[_Process] = []
    outcomes: list[Outcome] = []

    def stop(*_: object) -> None:
        raise Interrupted

    main = threading.current_thread() is threading.main_thread()
    before = (
        {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)} if main else {}
    )
    with tempfile.TemporaryDirectory(prefix="kexue-log-") as logs:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    work = waiting.pop(0)
                    log = Path(logs) / f"{len(waiting)}.log"
                    process = _Process(work, store, threads=threads, force=force, log=log)
                    running.append(process)
                    tell(Event(work, "started", {}))
                    threading.Thread(
                        target=lambda p=process: events.put(p.outcome(events.put)), daemon=True
                    ).start()
                with contextlib.suppress(queue.Empty):
                    event = events.get(timeout=0.2)
                    if isinstance(event, Event):
                        tell(event)
                    else:
                        outcomes.append(event)
                        running = [process for process in running if process.unit is not event.unit]
        finally:
            _end(running)
            for number, handler in before.items():
                signal.signal(number, handler)
    order = {id(unit): position for position, unit in enumerate(units)}
    return sorted(outcomes, key=lambda outcome: order[id(outcome.unit)])


def _end(running: list[_Process]) -> None:
    for process in running:
        process.end()
    deadline = time.monotonic() + GRACE
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(max(0.0, deadline - time.monotonic()))
    for process in running:
        if process.popen.poll() is None:
            process.kill()
