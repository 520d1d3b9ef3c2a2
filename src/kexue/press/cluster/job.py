"""A unit on its way through a cluster: which worker has it, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from distributed import Future

from kexue.press.cluster.task import Outcome, TaskResult
from kexue.press.store.plan import Unit

GRACE = 60.0  # seconds beyond its chapter's limit that a run may take to be ended and told
STARTS = 600.0  # seconds until its first cell runs: a kernel has up to three attempts


@dataclass(eq=False)
class Job:
    """A unit on its way.

    Args:
        number: the unit's place among those of the command.
        unit: the unit.
        lock: the lock on its key, while it is held.
        future: what Dask will return, while a worker has it or is to have it.
        worker: the address of the worker that has begun it.
        begun: whether its first cell runs.
        deadline: when its time is over, by the dispatcher's clock.
        stuck: since when no worker can take it.
        losses: how often it was lost without word.
        told_waiting: whether it has been told that another command makes it.
        outcome: how it ended.
    """

    number: int
    unit: Unit
    lock: Any = None
    future: Future[TaskResult] | None = None
    worker: str = ""
    begun: bool = False
    deadline: float = math.inf
    stuck: float = math.inf
    losses: int = 0
    told_waiting: bool = False
    outcome: Outcome | None = None

    @property
    def limit(self) -> float:
        """Seconds its chapter may take."""
        return self.unit.chapter.limit("chapter", self.unit.profile)

    def past(self, otherwise: float) -> float:
        """What the unit took last time, in seconds."""
        return self.unit.last.seconds if self.unit.last else otherwise

    def rest(self) -> None:
        """No worker has it any more."""
        self.worker, self.begun, self.deadline = "", False, math.inf

    def start(self, worker: str, now: float) -> None:
        """A worker has begun it: its kernel is to come up."""
        self.worker, self.begun, self.deadline = worker, False, now + STARTS

    def begin(self, now: float) -> None:
        """A cell runs: from the first one the chapter's own limit counts."""
        if not self.begun:
            self.begun, self.deadline = True, now + self.limit + GRACE

    def overdue(self, where: str) -> TaskResult:
        """What stands for the result of a run that is over its time, and that its own process has not ended."""
        what = f"its chapter's limit is {self.limit:g} s" if self.begun else "no cell has begun"
        text = f"no end of it{where}: {what}, and {GRACE if self.begun else STARTS:g} s more have passed"
        return TaskResult.failed(self.unit.key, "chapter limit", text)
