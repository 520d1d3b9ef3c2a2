"""Hands units to a Dask cluster, window by window, and takes in what comes back."""

from __future__ import annotations

import contextlib
import math
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker
from filelock import Timeout

from kexue.press.cluster.clusters import able, demands, slots, workers
from kexue.press.cluster.events import Event, Outcome
from kexue.press.cluster.task import Result, parcel_of
from kexue.press.cluster.worker import end_all, perform
from kexue.press.project import PressError
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store

_AHEAD = 64  # units the scheduler knows at least; each holds a lock, of which a process may have only so many
_POLL = 0.2  # seconds between two looks at the locks that others hold, and at the scheduler
_LOST_AFTER = 8.0  # seconds without its scheduler after which a command gives up


class Dispatch:
    """Hands units to Dask and takes in what comes back.

    Args:
        client: of the cluster.
        store: where results go.
        force: whether to run again what is stored.
        tell: called with each event.
        threads: threads of a run on this machine; None: the workers are elsewhere and decide.
        refused: workers that are not to be used, with the reason.
        warn: called when a worker turns out to be of no use.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        force: bool,
        tell: Callable[[Event], None],
        threads: int | None = None,
        refused: dict[str, str] | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.client = client
        self.store = store
        self.force = force
        self.tell = tell
        self.threads = threads
        self.refused = dict(refused or {})
        self.warn = warn
        self.topic = f"kexue-{uuid.uuid4().hex[:12]}"
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.units: list[Unit] = []
        self.waiting: deque[int] = deque()
        self.told_waiting: set[int] = set()
        self.locks: dict[int, Any] = {}
        self.futures: dict[int, Future[Result]] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.seen = time.monotonic()

    def run(self, units: Sequence[Unit]) -> list[Outcome]:
        """Run the units to their ends; the outcomes in the units' order."""
        self.units = list(units)
        past = [unit.last.seconds if unit.last else math.inf for unit in units]
        self.waiting = deque(sorted(range(len(units)), key=lambda number: past[number], reverse=True))
        self.client.subscribe_topic(self.topic, lambda event: self.inbox.put(event[1]))
        try:
            while self.waiting or self.futures:
                self._fill()
                try:
                    self._take(self.inbox.get(timeout=_POLL))
                except queue.Empty:
                    self._check_scheduler()
        finally:
            for lock in self.locks.values():
                lock.release()
        return [self.outcomes[number] for number in range(len(units))]

    def end(self) -> None:
        """End what still runs on this machine."""
        if self.futures:
            self.client.cancel(list(self.futures.values()))
            end_all()

    def _fill(self) -> None:
        if not self.waiting or self.client.status != "running":
            return
        found = {a: w for a, w in workers(self.client).items() if a not in self.refused}
        ahead = max(_AHEAD, 2 * slots(found))
        for _ in range(len(self.waiting)):
            if len(self.futures) >= ahead:
                return
            number = self.waiting.popleft()
            if self._take_lock(number):
                self._submit(number, found)
            else:
                self.waiting.append(number)

    def _take_lock(self, number: int) -> bool:
        """Lock the unit's key; if another command holds it, wait for what that makes of it."""
        if number in self.locks:
            return True
        unit = self.units[number]
        lock = self.store.lock(unit.key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if number not in self.told_waiting:
                self.told_waiting.add(number)
                self.tell(Event(unit, "started", {}))
                self.tell(Event(unit, "waiting", {}))
            return False
        self.locks[number] = lock
        self.store.sweep(unit.key)
        return True

    def _submit(self, number: int, found: dict[str, dict[str, Any]]) -> None:
        unit = self.units[number]
        made = None if self.force else self.store.get(unit.key)
        if made is not None:
            self._end(number, Outcome(unit, "reused", seconds=made.seconds))
            return
        fit = able(unit, found)
        if not fit:
            self._end(number, self._nowhere(unit, found))
            return
        here = self.threads is not None
        parcel = parcel_of(unit, threads=self.threads, store=self.store if here else None)
        future = self.client.submit(
            perform,
            parcel,
            self.topic,
            number,
            key=f"kexue-{unit.key}-{uuid.uuid4().hex[:8]}",
            pure=False,
            priority=unit.last.seconds if unit.last else 1e9,
            resources=demands(unit) or None,
            workers=fit if len(fit) < len(found) or self.refused else None,
        )
        self.futures[number] = future
        future.add_done_callback(lambda done, number=number: self.inbox.put((number, done)))

    def _nowhere(self, unit: Unit, found: dict[str, dict[str, Any]]) -> Outcome:
        """The outcome of a unit that no worker can take."""
        if self.refused and not found:
            reasons = "; ".join(f"{address}: {why}" for address, why in self.refused.items())
            return Outcome(unit, "failed", f"no worker of the cluster can make it: {reasons}")
        needs = {
            what: unit.chapter.need(what, unit.profile) for what in ("gpus", "gpu_memory_gb", "memory_gb")
        }
        if unit.device == "cuda" and not needs["gpus"]:
            needs["gpus"] = 1.0
        wanted = ", ".join(
            text
            for amount, text in (
                (needs["gpus"], f"{needs['gpus']:g} GPU"),
                (needs["gpu_memory_gb"], f"{needs['gpu_memory_gb']:g} GiB of GPU memory"),
                (needs["memory_gb"], f"{needs['memory_gb']:g} GiB of memory"),
            )
            if amount
        )
        where = "this machine" if self.threads is not None else "no worker of the cluster"
        return Outcome(
            unit, "not runnable", f"it needs {wanted}, which {where} {'lacks' if self.threads else 'has'}"
        )

    def _take(self, message: Any) -> None:
        """Take in an event, or a future that is done."""
        if isinstance(message, dict):
            facts = {name: value for name, value in message.items() if name not in ("unit", "event")}
            if message["unit"] in self.futures:
                self.tell(Event(self.units[message["unit"]], message["event"], facts))
            return
        number, future = message
        if self.futures.get(number) is not future or future is None:
            return
        try:
            result = future.result(timeout=60)
        except Exception as error:
            # Lost are also runs that only waited on a worker another one took down, and results whose worker went
            # before they were fetched; `perform` counts how often a run itself was lost.
            lost = future.status != "error" or isinstance(error, KilledWorker)
            text = f"the worker could not make it: {type(error).__name__}: {error}"
            result = Result("lost" if lost else "failed", text, failure={"kind": "worker", "message": text})
        del self.futures[number]
        self._settle(number, result)

    def _settle(self, number: int, result: Result) -> None:
        unit = self.units[number]
        if result.status == "lost" or (result.status == "refused" and self.threads is None):
            if result.status == "refused":
                self.refused[result.worker] = result.message
                self.warn(f"the worker {result.worker} is not used any more: {result.message}")
            self.waiting.append(number)
            return
        if result.status == "done" and result.archive is not None:
            try:
                run = self.store.adopt(unit.key, result.archive)
                self._end(number, Outcome(unit, "done", seconds=run.seconds))
            except PressError as error:
                self._end(number, Outcome(unit, "failed", str(error)))
            return
        failure = result.failure or {"kind": result.status, "message": result.message}
        with contextlib.suppress(PressError):  # on a full disk the failure itself is still told
            self.store.adopt_failure(unit.key, failure, result.archive)
        self._end(number, Outcome(unit, "failed", result.message))

    def _end(self, number: int, outcome: Outcome) -> None:
        self.locks.pop(number).release()
        self.outcomes[number] = outcome
        name = "done" if outcome.status in ("done", "reused") else "failed"
        self.tell(Event(outcome.unit, name, {}))

    def _check_scheduler(self) -> None:
        """Give up when the scheduler has been gone for a while.

        Raises:
            PressError: saying what is kept and what to do.
        """
        if self.client.status == "running":
            self.seen = time.monotonic()
        elif self.client.status == "closed" or time.monotonic() - self.seen > _LOST_AFTER:
            address = self.client.scheduler.address if self.client.scheduler else "the cluster"
            raise PressError(
                f"the scheduler at {address} is gone; finished runs are stored. Start it again and run the same command: "
                "it goes on with what is missing"
            )
