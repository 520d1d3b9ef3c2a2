"""A unit of work made up to travel: all that a worker which shares no disk with us needs to make the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kexue.press.project import source_state
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store


@dataclass(frozen=True)
class Parcel:
    """The order of one run, as plain data.

    Args:
        name: the unit in a word.
        path: the chapter's path, relative to the book.
        source: the chapter's text.
        profile, seed, device, settings: what to run (see `kexue.press.store.plan.Unit`).
        fingerprint: what the run depends on here; a worker that finds another one refuses.
        origin: commit of the book and whether its sources differ from it.
        threads: threads of the run; None: as many as the worker's OMP_NUM_THREADS says, or one.
        folder: where the run is made; None: in the worker's own scratch folder.
        memory_limit: bytes a run may take; None: the worker's own limit.
    """

    name: str
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
    memory_limit: int | None = None


@dataclass(frozen=True)
class Result:
    """What came of a parcel.

    Args:
        status: "done", "failed", "refused" (this worker cannot make it, another may) or "poisoned" (it has taken too
            many workers with it).
        message: why it is not done.
        worker: the address of the worker.
        archive: the run folder, or what the failed run left; None if there is nothing.
        failure: what is known of the failure.
        seconds: wall time of a finished run.
    """

    status: str
    message: str = ""
    worker: str = ""
    archive: bytes | None = None
    failure: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


def parcel_of(unit: Unit, *, threads: int | None = None, store: Store | None = None) -> Parcel:
    """Make up a unit.

    Args:
        unit: the unit.
        threads: threads of the run; None: the worker decides.
        store: a store on the machine of the worker, in whose folder the run is to be made; None elsewhere.
    """
    chapter = unit.chapter
    return Parcel(
        name=unit.name,
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


def lay_out(parcel: Parcel, folder: Path) -> None:
    """Write the chapter into `folder` as a book of its own."""
    path = folder / parcel.path
    path.parent.mkdir(parents=True)
    path.write_text(parcel.source, encoding="utf-8")
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: {path.stem}\n", encoding="utf-8")
