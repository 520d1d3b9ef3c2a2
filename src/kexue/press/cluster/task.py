"""What travels: a task to make one run, what came of it, and what its caller is told meanwhile."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from kexue.press.project import source_state
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store


class TaskStatus(StrEnum):
    """How a task ended on its worker."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"  # this worker cannot make it, another may
    POISONED = "poisoned"  # it has taken too many workers with it
    LOST = "lost"  # it never came back


class EventName(StrEnum):
    """What happens to a unit while it is run."""

    STARTED = "started"
    WAITING = "waiting"  # for another command that makes the same run
    CELL = "cell"
    DONE = "done"
    FAILED = "failed"


class OutcomeStatus(StrEnum):
    """How a unit ended."""

    FRESH = "fresh"  # it needed no run
    DONE = "done"
    REUSED = "reused"  # another command made it meanwhile
    FAILED = "failed"
    NOT_RUNNABLE = "not runnable"  # here


@dataclass(frozen=True)
class Task:
    """All that a worker which shares no disk with us needs to make a run, as plain data.

    Args:
        key: the key of the run.
        path: the chapter's path, relative to the book.
        source: the chapter's text.
        profile, seed, device, settings: what to run (see `kexue.press.store.plan.Unit`).
        fingerprint: what the run depends on here; a worker that finds another one refuses.
        origin: commit of the book and whether its sources differ from it.
        threads: threads of the run; None: as many as the worker's OMP_NUM_THREADS says, or one.
        folder: where the run is made; None: in the worker's own scratch folder.
    """

    key: str
    path: str
    source: str
    profile: str
    seed: int
    device: str
    settings: dict[str, Any]
    fingerprint: dict[str, Any]
    origin: dict[str, Any]
    threads: int | None
    folder: str | None

    def lay_out(self, folder: Path) -> None:
        """Write the chapter into `folder` as a book of its own."""
        path = folder / self.path
        path.parent.mkdir(parents=True)
        path.write_text(self.source, encoding="utf-8")
        (folder / "_toc.yml").write_text(f"format: jb-book\nroot: {path.stem}\n", encoding="utf-8")


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Args:
        status: how it ended.
        key: of the task that it is the result of.
        message: why it is not done.
        worker: the address of the worker.
        archive: the run folder, or what the failed run left; None if there is nothing.
        failure: what is known of the failure.
    """

    status: TaskStatus
    key: str
    message: str = ""
    worker: str = ""
    archive: bytes | None = None
    failure: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, key: str, kind: str, message: str, worker: str = "") -> TaskResult:
        """The result of a task of which there is nothing but words."""
        failure = {"kind": kind, "message": message}
        return cls(TaskStatus.FAILED, key, message, worker, failure=failure)


@dataclass(frozen=True)
class Event:
    """Something that happened to a unit.

    Args:
        unit: which.
        name: what.
        where: the worker's name where it started; "" on this machine.
        cell, cells: the cell that starts, from 1, and of how many.
    """

    unit: Unit
    name: EventName
    where: str = ""
    cell: int = 0
    cells: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a unit ended; with the reason where it failed or cannot be run here."""

    unit: Unit
    status: OutcomeStatus
    message: str = ""
    seconds: float | None = None


class Interrupted(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came while units were running; finished ones are stored, no kernel is left."""


def task_of(unit: Unit, *, threads: int | None = None, store: Store | None = None) -> Task:
    """The task that makes a unit's run.

    Args:
        unit: the unit.
        threads: threads of the run; None: the worker decides.
        store: a store on the machine of the worker, in whose folder the run is to be made; None elsewhere.
    """
    chapter = unit.chapter
    return Task(
        key=unit.key,
        path=chapter.path.relative_to(chapter.root).as_posix(),
        source=chapter.source,
        profile=unit.profile,
        seed=unit.seed,
        device=unit.device,
        settings=unit.settings,
        fingerprint=unit.fingerprint.record(),
        origin=asdict(source_state(chapter.root)),
        threads=threads,
        folder=str(store.workspace(unit.key)) if store is not None else None,
    )
