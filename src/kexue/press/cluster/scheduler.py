"""Hands tasks to a Dask cluster, as many as it can use, and takes in what comes back; nothing is waited for without end."""

from __future__ import annotations

import contextlib
import math
import queue
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker
from filelock import Timeout

from kexue.press.cluster.clusters import able, demands, needs_of, slots
from kexue.press.cluster.heartbeat import TOLD_AFTER, Clock, Heartbeat, ask
from kexue.press.cluster.job import Job
from kexue.press.cluster.limits import AHEAD
from kexue.press.cluster.process import end_all
from kexue.press.cluster.task import (
    Event,
    EventName,
    Outcome,
    OutcomeStatus,
    TaskResult,
    TaskStatus,
    task_of,
)
from kexue.press.cluster.worker import perform
from kexue.press.project import PressError
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store

_POLL = 0.2  # seconds between two looks at the locks that others hold, and at the cluster
_PATIENCE = 600.0  # seconds that a unit waits for a worker that can make it
_LOSSES = 10  # times that a run may be lost without having begun


class Dispatcher:
    """Hands units to Dask and takes in what comes back.

    Args:
        client: of the cluster.
        store: where results go.
        force: whether to run again what is stored.
        tell: called with each event.
        threads: threads of a run on this machine; None: the workers are elsewhere and decide.
        warn: called with what a user should know of the cluster.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        force: bool,
        tell: Callable[[Event], None],
        threads: int | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.client = client
        self.store = store
        self.force = force
        self.tell = tell
        self.threads = threads
        self.refused: dict[str, str] = {}  # workers that are not to be used, with the reason
        self.warn = warn
        self.topic = f"kexue-{uuid.uuid4().hex[:12]}"
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.clock = Clock()
        self.heartbeat = Heartbeat(client, self.clock, warn)
        self.waiting: deque[Job] = deque()
        self.running: dict[int, Job] = {}
        self.told_stuck = False

    def run(self, units: Sequence[Unit]) -> list[Outcome]:
        """Run the units to their ends, the longest first; the outcomes in the units' order."""
        jobs = [Job(number, unit) for number, unit in enumerate(units)]
        self.waiting = deque(sorted(jobs, key=lambda job: job.past(math.inf), reverse=True))
        self.client.subscribe_topic(self.topic, lambda event: self.inbox.put(event[1]))
        try:
            while self.waiting or self.running:
                self._fill()
                with contextlib.suppress(queue.Empty):
                    self._take(self.inbox.get(timeout=_POLL))
                self.clock.look()
                self.heartbeat.beat()
                self._check_workers()
                self._check_runs()
        finally:
            if self.threads is not None:
                self._end_here()
            for job in jobs:
                if job.lock is not None:
                    self.store.sweep(job.unit.key)
                    job.lock.release()
        return [job.outcome for job in jobs if job.outcome is not None]

    def _end_here(self) -> None:
        """End what still runs on this machine."""
        if self.running:
            self.client.cancel([job.future for job in self.running.values()])
        end_all()  # one that was over its time may still be ending

    # From the units to the scheduler.

    def _usable(self) -> dict[str, dict[str, Any]]:
        left_out = self.refused.keys() | self.heartbeat.mute
        return {address: w for address, w in self.heartbeat.workers.items() if address not in left_out}

    def _fill(self) -> None:
        """Hand on as many units as the workers can use soon."""
        if not self.waiting or self.client.status != "running":
            return
        found = self._usable()
        ahead = max(AHEAD, 2 * slots(found))
        for _ in range(len(self.waiting)):
            if len(self.running) >= ahead:
                return
            job = self.waiting.popleft()
            if not (self._lock(job) and self._submit(job, found)) and job.outcome is None:
                self.waiting.append(job)

    def _lock(self, job: Job) -> bool:
        """Lock the unit's key; if another command holds it, wait for what that makes of it."""
        if job.lock is not None:
            return True
        lock = self.store.lock(job.unit.key)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not job.told_waiting:
                job.told_waiting = True
                self.tell(Event(job.unit, EventName.WAITING))
            return False
        job.lock = lock
        self.store.sweep(job.unit.key)
        return True

    def _submit(self, job: Job, found: dict[str, dict[str, Any]]) -> bool:
        """Hand a unit to a worker that can make it; whether one has it now."""
        unit = job.unit
        made = None if self.force else self.store.get(unit.key)
        if made is not None:
            self._end(job, Outcome(unit, OutcomeStatus.REUSED, seconds=made.seconds))
            return False
        fit = able(unit, found)
        if not fit:
            self._without_worker(job, found)
            return False
        here = self.threads is not None
        job.stuck = math.inf
        job.rest()
        job.future = self.client.submit(
            perform,
            task_of(unit, threads=self.threads, store=self.store if here else None),
            self.topic,
            job.number,
            key=f"kexue-{unit.key}-{uuid.uuid4().hex[:8]}",
            pure=False,
            priority=job.past(1e9),
            resources=demands(unit) or None,
            workers=fit if len(fit) < len(found) or self.refused or self.heartbeat.mute else None,
        )
        self.running[job.number] = job
        job.future.add_done_callback(lambda future: self.inbox.put((job, future)))
        return True

    def _without_worker(self, job: Job, found: dict[str, dict[str, Any]]) -> None:
        """End a unit that no worker can take; wait a while where one may come (back)."""
        nobody = not found and not self.refused
        if self.threads is None and (self.heartbeat.mute or nobody or job.stuck < math.inf):
            job.stuck = min(job.stuck, self.clock.now)
            if not self.told_stuck:
                self.told_stuck = True
                self.warn(f"{job.unit.name} waits: no worker that can make it answers")
            if self.clock.now - job.stuck > _PATIENCE:
                message = f"no worker that can make it has answered for {_PATIENCE:g} s"
                self._end(job, Outcome(job.unit, OutcomeStatus.FAILED, message))
        elif self.refused and not found:
            reasons = "; ".join(f"{address}: {why}" for address, why in self.refused.items())
            message = f"no worker of the cluster can make it: {reasons}"
            self._end(job, Outcome(job.unit, OutcomeStatus.FAILED, message))
        else:
            where = "no worker of the cluster has" if self.threads is None else "this machine lacks"
            message = f"it needs {needs_of(job.unit)}, which {where}"
            self._end(job, Outcome(job.unit, OutcomeStatus.NOT_RUNNABLE, message))

    # From the workers to the store.

    def _take(self, message: Any) -> None:
        """Take in an event, or a future that is done."""
        if isinstance(message, dict):
            if message["unit"] in self.running:
                self._note(self.running[message["unit"]], message)
            return
        done: tuple[Job, Future[TaskResult]] = message
        job, future = done
        if job.future is not future or self.running.get(job.number) is not job:
            return
        try:
            result = future.result(timeout=60)
        except Exception as error:
            # Lost are also runs that only waited on a worker another one took down, and results whose worker went
            # before they were fetched; `perform` counts how often a run itself was lost.
            lost = future.status != "error" or isinstance(error, KilledWorker)
            text = f"the worker could not make it: {type(error).__name__}: {error}"
            result = TaskResult.failed(job.unit.key, "worker", text)
            result = replace(result, status=TaskStatus.LOST) if lost else result
        del self.running[job.number]
        self._settle(job, result)

    def _note(self, job: Job, message: dict[str, Any]) -> None:
        """An event of a run: it goes on, and its time with it."""
        if message["event"] == EventName.STARTED:
            if job.worker and job.worker != message["worker"]:
                self._lost(job.worker)
            job.start(message["worker"], self.clock.now)
            where = "" if self.threads is not None else message["name"]
            self.tell(Event(job.unit, EventName.STARTED, where))
        elif message["event"] == EventName.CELL and message["worker"] == job.worker:
            job.begin(self.clock.now)
            self.tell(Event(job.unit, EventName.CELL, cell=message["index"], cells=message["of"]))

    def _settle(self, job: Job, result: TaskResult) -> None:
        unit = job.unit
        if result.key != unit.key:
            text = f"the worker {result.worker} returned another run ({result.key}) than the one asked for"
            result = TaskResult.failed(unit.key, "worker", text)
        again = result.status == TaskStatus.LOST and job.losses < _LOSSES
        if again or (result.status == TaskStatus.REFUSED and self.threads is None):
            if result.status == TaskStatus.REFUSED:
                self.refused[result.worker] = result.message
                self.warn(f"the worker {result.worker} is not used any more: {result.message}")
            job.losses += again
            self.waiting.append(job)
            return
        if result.status == TaskStatus.DONE and result.archive is not None:
            try:
                run = self.store.adopt(unit.key, result.archive)
                self._end(job, Outcome(unit, OutcomeStatus.DONE, seconds=run.seconds))
            except PressError as error:
                self._end(job, Outcome(unit, OutcomeStatus.FAILED, str(error)))
            return
        failure = result.failure or {"kind": str(result.status), "message": result.message}
        with contextlib.suppress(PressError):  # on a full disk the failure itself is still told
            self.store.adopt_failure(unit.key, failure, result.archive)
        self._end(job, Outcome(unit, OutcomeStatus.FAILED, result.message))

    def _end(self, job: Job, outcome: Outcome) -> None:
        job.lock.release()
        job.lock, job.outcome = None, outcome
        well = outcome.status in (OutcomeStatus.DONE, OutcomeStatus.REUSED)
        self.tell(Event(job.unit, EventName.DONE if well else EventName.FAILED))

    # What has gone, or says nothing.

    def _check_workers(self) -> None:
        """Tell of workers that are lost; give away what those have that are silent."""
        if self.threads is not None:  # in this very process
            return
        for address in {job.worker for job in self.running.values() if job.worker}:
            if self.heartbeat.gone(address):
                self._lost(address)
        for address in self.heartbeat.fallen_silent():
            self._give_away(address)

    def _lost(self, address: str) -> None:
        """Tell that a worker is lost and what it had; Dask hands that to another one by itself."""
        had = [job for job in self.running.values() if job.worker == address]
        for job in had:
            job.rest()
        if had:
            names = ", ".join(job.unit.name for job in had)
            goes = "goes" if len(had) == 1 else "go"
            self.warn(f"the worker {self.heartbeat.name(address)} was lost; {names} {goes} to another")

    def _give_away(self, address: str) -> None:
        """Take back what a silent worker has, begun or not, where another one can make it."""
        try:
            keys = set(ask(self.client, "processing", workers=[address]).result(timeout=10)[address])
        except Exception:  # it has gone meanwhile, or the scheduler has: seen at the next look
            self.heartbeat.mute.discard(address)
            return
        others = self._usable()
        for job in list(self.running.values()):
            if job.future is not None and job.future.key in keys and able(job.unit, others):
                name = self.heartbeat.name(address)
                self.warn(f"{job.unit.name} is taken from the worker {name} and goes to another")
                self._take_back(job)
                self.waiting.append(job)

    def _take_back(self, job: Job) -> None:
        future, job.future = job.future, None
        del self.running[job.number]
        self.client.cancel([future])

    def _check_runs(self) -> None:
        """End runs that are over their time, and take back those that no worker is there for."""
        usable = None
        for job in list(self.running.values()):
            if self.clock.now > job.deadline:
                name = self.heartbeat.name(job.worker)
                where = "" if self.threads is not None else f" on the worker {name}"
                self._take_back(job)
                self._settle(job, job.overdue(where))
            elif not job.worker and self.threads is None:
                usable = self._usable() if usable is None else usable
                job.stuck = min(job.stuck, self.clock.now) if not able(job.unit, usable) else math.inf
                if self.clock.now - job.stuck > TOLD_AFTER:
                    self._take_back(job)  # `_submit` goes on waiting, for so long
                    self.waiting.append(job)
