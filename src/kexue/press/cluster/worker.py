"""What a Dask worker does with a task: a process for the run, its events told, its result packed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from distributed import Worker, get_client, get_worker

from kexue.press.cluster.process import taken
from kexue.press.cluster.task import EventName, Task, TaskResult, TaskStatus
from kexue.press.execution.order import Order
from kexue.press.project import PressError, signal_name
from kexue.press.store.archive import pack
from kexue.press.store.store import Store

GIVEN_UP_AFTER = 3  # workers a run may take with it
_ENDINGS = ("done", "failed", "refused")


def perform(task: Task, topic: str, number: int) -> TaskResult:
    """Make the run of a task in a process of its own, on the worker that calls this.

    Events are logged to `topic` of the scheduler as `{"unit": number, "event": …, "worker": …}`.

    Args:
        task: the task.
        topic: where the caller listens.
        number: the caller's name for the unit.
    """
    worker = get_worker()
    starts = f"{topic}-{number}"
    try:
        lost = _lost(starts)
        if len(lost) >= GIVEN_UP_AFTER:
            return TaskResult(TaskStatus.POISONED, task.key, _poisoned(lost), worker.address)
        facts = {"unit": number, "event": str(EventName.STARTED), "worker": worker.address}
        worker.log_event([starts, topic], {**facts, "name": str(worker.name)})
        return _in_folder(task, worker, topic, number)
    except PressError as error:
        return TaskResult(TaskStatus.REFUSED, task.key, str(error), worker.address)
    except Exception as error:  # whatever it is, the caller learns of it
        message = f"the worker {worker.name} failed: {type(error).__name__}: {error}"
        return TaskResult.failed(task.key, "worker", message, worker.address)
    finally:
        worker.log_event(starts, {"event": "ended", "worker": worker.address})


def _lost(starts: str) -> list[str]:
    """The workers that began this run and were lost: the scheduler remembers them when it sends the run to another."""
    before = [event for _, event in get_client().get_events(starts) if isinstance(event, dict)]
    ended = {event["worker"] for event in before if event["event"] == "ended"}
    return [event["worker"] for event in before if event["worker"] not in ended]


def _poisoned(lost: list[str]) -> str:
    return (
        f"every worker that began it was lost ({', '.join(lost)}); given up after {len(lost)}. It may take more "
        "memory than its worker's machine has, or end the process it runs under"
    )


def _in_folder(task: Task, worker: Worker, topic: str, number: int) -> TaskResult:
    """Make the run in a folder that is gone afterwards.

    Raises:
        PressError: this machine cannot make it, for lack of a folder, room or a process.
    """
    try:
        folder = Path(task.folder or tempfile.mkdtemp(prefix="kexue-run-", dir=worker.local_directory))
    except OSError as error:
        raise PressError(f"cannot make a folder in {worker.local_directory}: {error}") from error
    try:
        task.lay_out(folder / "book-sent")
        return _made(task, folder, worker, topic, number)
    except OSError as error:
        raise Store(folder).unwritable(error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _order(task: Task, folder: Path, worker: Worker) -> Order:
    return Order(
        root=str(folder / "book-sent"),
        path=task.path,
        store=str(folder / "store"),
        log=str(folder / "log"),
        profile=task.profile,
        seed=task.seed,
        device=task.device,
        settings=task.settings,
        fingerprint=task.fingerprint,
        origin=task.origin,
        threads=task.threads or int(os.environ.get("OMP_NUM_THREADS") or 1),
        memory_limit=worker.memory_manager.memory_limit,
    )


def _made(task: Task, folder: Path, worker: Worker, topic: str, number: int) -> TaskResult:
    """Make the run in `folder`, and pack what came of it."""
    order = _order(task, folder, worker)
    dask_key = worker.get_current_task()

    def wanted() -> bool:
        """Whether the scheduler still waits for it: it does not when the caller has gone or cancelled it."""
        state = worker.state.tasks.get(dask_key)
        return state is not None and state.state not in ("cancelled", "released", "forgotten")

    ending: dict[str, Any] = {}
    with taken(_devices(worker)) as process:
        for event in process.run(order, wanted):
            if event["event"] in _ENDINGS:
                ending = event
            else:
                worker.log_event(topic, {"unit": number, "worker": worker.address, **event})
        code = process.wait()
    status, message = ending.get("event"), ending.get("message", "")
    store = Path(order.store)
    if status == "done" and code == 0:
        (run,) = (store / "runs").glob("*/*")
        return TaskResult(TaskStatus.DONE, task.key, worker=worker.address, archive=pack(run))
    if status == "refused":
        return TaskResult(TaskStatus.REFUSED, task.key, message, worker.address)
    if status == "failed":
        left = next(iter((store / "failed").glob("*")), None)
        if left is None:  # not even the failure could be written
            return TaskResult.failed(task.key, "store", message, worker.address)
        failure = json.loads((left / "failure.json").read_bytes())
        return TaskResult(TaskStatus.FAILED, task.key, message, worker.address, pack(left), failure)
    return TaskResult.failed(task.key, "crash", _crash(code, Path(order.log)), worker.address)


def _crash(code: int, log: Path) -> str:
    how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    words = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] if log.exists() else ""
    return f"the process of the run {how}" + (f"; its last words:\n{words}" if words else "")


def _devices(worker: Worker) -> dict[str, str]:
    """The one GPU of a worker that is named after it ("cuda:1"); others see what their environment lets them see."""
    kind, _, device = str(worker.name).partition(":")
    return {"CUDA_VISIBLE_DEVICES": device} if kind == "cuda" and device else {}
