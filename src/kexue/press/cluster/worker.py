"""What a Dask worker does with a parcel: a process for the run, its events told, its result packed."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from dask.typing import Key
from distributed import Worker, get_client, get_worker

from kexue.press.cluster import process as warm
from kexue.press.cluster.task import Parcel, Result, lay_out
from kexue.press.project import signal_name
from kexue.press.store.archive import pack
from kexue.press.store.store import Store

GRACE = 3.0  # seconds a run gets to end its kernel before it is killed
GIVEN_UP_AFTER = 3  # workers a run may take with it
_POLL = 0.2  # seconds between two looks at whether the run is still wanted

_running: set[subprocess.Popen[str]] = set()  # of this process, for those who end it


def perform(parcel: Parcel, topic: str, number: int) -> Result:
    """Make the run of a parcel in a process of its own, on the worker that calls this.

    Events are logged to `topic` of the scheduler as `{"unit": number, "event": …}`.

    Args:
        parcel: the order.
        topic: where the caller listens.
        number: the caller's name for the unit.
    """
    worker = get_worker()
    # The scheduler sends a run whose worker was lost to another one: it remembers, not we, how often that was.
    starts = f"{topic}-{number}"
    before = [event for _, event in get_client().get_events(starts) if isinstance(event, dict)]
    ended = {event["worker"] for event in before if event["event"] == "ended"}
    lost = [event["worker"] for event in before if event["worker"] not in ended]
    if len(lost) >= GIVEN_UP_AFTER:
        return Result("poisoned", worker=worker.address, message=_poisoned(lost))
    worker.log_event([starts, topic], {"unit": number, "event": "started", "worker": worker.address})
    try:
        return _made(parcel, worker, topic, number)
    finally:
        worker.log_event(starts, {"event": "ended", "worker": worker.address})


def _made(parcel: Parcel, worker: Worker, topic: str, number: int) -> Result:
    try:
        folder = Path(parcel.folder or tempfile.mkdtemp(prefix="kexue-run-", dir=worker.local_directory))
    except OSError as error:
        return Result("refused", f"cannot make a folder in {worker.local_directory}: {error}", worker.address)
    try:
        lay_out(parcel, folder / "book-sent")
        return _performed(parcel, folder, worker, topic, number)
    except OSError as error:
        return Result("refused", str(Store(folder).unwritable(error)), worker.address)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _poisoned(lost: list[str]) -> str:
    return (
        f"every worker that began it was lost ({', '.join(lost)}); given up after {len(lost)}. It may take more "
        "memory than its worker's machine has, or end the process it runs under"
    )


def _performed(parcel: Parcel, folder: Path, worker: Worker, topic: str, number: int) -> Result:
    log = folder / "log"
    store = Store(folder / "store")
    order = {
        "root": str(folder / "book-sent"),
        "store": str(store.folder),
        "path": parcel.path,
        "profile": parcel.profile,
        "seed": parcel.seed,
        "device": parcel.device,
        "settings": parcel.settings,
        "fingerprint": parcel.fingerprint,
        "origin": parcel.origin,
        "threads": parcel.threads or int(os.environ.get("OMP_NUM_THREADS") or 1),
        "memory_limit": parcel.memory_limit or worker.memory_manager.memory_limit,
        "log": str(log),
    }
    process = warm.take(_devices(worker))
    _running.add(process)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()  # left open: when this process dies, the run reads the end of it
        ending, kernel = _follow(process, worker, topic, number)
        code = process.wait()
    finally:
        _end(process)
        _running.discard(process)
    status, message = ending.get("event"), ending.get("message", "")
    if status == "done" and code == 0:
        (run,) = (store.folder / "runs").glob("*/*")
        return Result("done", worker=worker.address, archive=pack(run), seconds=ending["seconds"])
    if status == "refused":
        return Result("refused", message, worker.address)
    if status == "failed":
        left = next(iter((store.folder / "failed").glob("*")), None)
        if left is None:  # not even the failure could be written
            return Result("failed", message, worker.address, failure={"kind": "store", "message": message})
        failure = json.loads((left / "failure.json").read_bytes())
        return Result("failed", message, worker.address, pack(left), failure)
    if kernel is not None:  # the process died before it could end its kernel
        with contextlib.suppress(OSError):
            os.killpg(kernel, signal.SIGKILL)
    how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    words = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] if log.exists() else ""
    message = f"the process of the run {how}" + (f"; its last words:\n{words}" if words else "")
    return Result("failed", message, worker.address, failure={"kind": "crash", "message": message})


def _devices(worker: Worker) -> dict[str, str]:
    """The one GPU of a worker that is named after it ("cuda:1"); others see what their environment lets them see."""
    kind, _, device = str(worker.name).partition(":")
    return {"CUDA_VISIBLE_DEVICES": device} if kind == "cuda" and device else {}


def _follow(
    process: subprocess.Popen[str], worker: Worker, topic: str, number: int
) -> tuple[dict[str, Any], int | None]:
    """Pass the events of the run on until it ends or is no longer wanted; its last event and its kernel's pid."""
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, events), daemon=True).start()
    task = worker.get_current_task()
    ending: dict[str, Any] = {}
    kernel = None
    while True:
        try:
            event = events.get(timeout=_POLL)
        except queue.Empty:
            if not _wanted(worker, task):
                _end(process)
            continue
        if event is None:
            return ending, kernel
        if event["event"] == "kernel":
            kernel = event["pid"]
        elif event["event"] in ("done", "failed", "refused"):
            ending = event
        else:
            worker.log_event(topic, {"unit": number, **event})


def _read(stream: TextIO, events: queue.Queue[dict[str, Any] | None]) -> None:
    for line in stream:
        events.put(json.loads(line))
    events.put(None)


def _wanted(worker: Worker, task: Key) -> bool:
    """Whether the scheduler still waits for this task: it does not when the caller has gone or cancelled it."""
    state = worker.state.tasks.get(task)
    return state is not None and state.state not in ("cancelled", "released", "forgotten")


def _end(process: subprocess.Popen[str]) -> None:
    """End a run: politely first, so that it can end its kernel."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def end_all() -> None:
    """End every run that the workers in this process are making, and wait until none is left."""
    for process in list(_running):
        with contextlib.suppress(OSError):
            process.terminate()
    for process in list(_running):
        _end(process)
    deadline = time.monotonic() + GRACE
    while _running and time.monotonic() < deadline:
        time.sleep(0.02)
