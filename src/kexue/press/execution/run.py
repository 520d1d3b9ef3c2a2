"""One run of one chapter: notebook and parameters in, a stored run or a stored failure out."""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil

from kexue.press.execution.displays import check_displays, stored_notebook
from kexue.press.execution.environment import environment
from kexue.press.execution.failures import RunFailed, check_executed, incomplete, shortened
from kexue.press.execution.kernel import execute
from kexue.press.execution.monitor import Watch
from kexue.press.execution.notebook import is_chapters, notebook_of, ordinal_of
from kexue.press.execution.outputs import collect
from kexue.press.execution.paths import MachinePaths
from kexue.press.execution.trace import Trace
from kexue.press.project import PressError, SourceState, cpu_name
from kexue.press.sources.chapter import Chapter
from kexue.press.store.failure import Failure, FailureKind
from kexue.press.store.fingerprint import differences, fingerprint, forget
from kexue.press.store.plan import Unit
from kexue.press.store.provenance import Host, Provenance
from kexue.press.store.store import NOTEBOOK, PARTIAL, Run, Store

SCRATCH = "scratch"  # the kernel's working folder: what a chapter leaves behind there is not kept


def make(
    unit: Unit,
    store: Store,
    *,
    threads: int,
    origin: SourceState,
    on_cell: Callable[[int, int], None],
    watch: Watch,
) -> Run:
    """Run a unit in a process of its own kernel and store the result.

    Args:
        unit: what to run.
        store: where the result goes.
        threads: threads for torch, BLAS and OpenMP.
        origin: of which commit the sources are.
        on_cell: called with (i, n) as the i-th of n code cells starts, from 1.
        watch: takes charge of the kernel; `watch.kill` ends the run.

    Raises:
        RunFailed: the run failed; the failure is stored.
        PressError: the store cannot be written.
    """
    workspace = store.workspace(unit.key)
    clock = time.monotonic()
    paths = MachinePaths(unit.chapter.root, workspace / SCRATCH)
    try:
        executed = _executed(unit, workspace, threads, on_cell, watch)
        found = collect(unit, executed)
        check_displays(unit, executed)
        _check_unchanged(unit)
        provenance = _provenance(
            unit, found.trace, watch, time.monotonic() - clock, threads, origin, executed
        )
        record = {
            "chapter": unit.chapter.slug,
            "fingerprint": unit.fingerprint.record(),
            "provenance": provenance.record(),
            "claims": found.claims,
            "measurements": found.measurements,
        }
        (workspace / NOTEBOOK).write_text(nbformat.writes(stored_notebook(executed, paths)), encoding="utf-8")
        (workspace / PARTIAL).unlink(missing_ok=True)
        shutil.rmtree(workspace / SCRATCH)
        return store.commit(workspace, unit.key, record, provenance.seconds)
    except RunFailed as error:
        shutil.rmtree(workspace / SCRATCH, ignore_errors=True)
        failure = _told(error.failure, paths, time.monotonic() - clock, watch)
        with contextlib.suppress(PressError):  # on a full disk the failure itself is still told
            store.fail(workspace, unit.key, failure)
        raise RunFailed(failure) from error
    except OSError as error:
        shutil.rmtree(workspace, ignore_errors=True)
        raise store.unwritable(error) from error


def _executed(
    unit: Unit, workspace: Path, threads: int, on_cell: Callable[[int, int], None], watch: Watch
) -> Any:
    """The executed notebook, every cell of which has run and none raised."""
    try:
        notebook = notebook_of(unit)
    except PressError as error:
        raise RunFailed(Failure(FailureKind.CHAPTER, str(error))) from error
    scratch = workspace / SCRATCH
    scratch.mkdir()
    cells = len(unit.chapter.code_cells)
    watch.on_cell = lambda index: on_cell(min(ordinal_of(notebook.cells, index), cells), cells)
    executed = execute(
        unit,
        notebook,
        folder=scratch,
        partial=workspace / PARTIAL,
        watch=watch,
        env=environment(unit, scratch, threads),
    )
    check_executed(unit, executed)
    return executed


def _told(failure: Failure, paths: MachinePaths, seconds: float, watch: Watch) -> Failure:
    """The failure with its cost, in words that name no folder of this machine."""
    return replace(
        failure,
        message=paths.neutral(shortened(failure.message)),
        traceback=tuple(map(paths.neutral, failure.traceback)),
        seconds=seconds,
        peak_rss_mb=round(watch.peak / 2**20),
    )


def _check_unchanged(unit: Unit) -> None:
    """Check that the sources are still those of the fingerprint: the kernel may have loaded either version."""
    forget()
    chapter = Chapter(unit.chapter.root, unit.chapter.path)
    now = fingerprint(
        chapter, profile=unit.profile, seed=unit.seed, device=unit.device, settings=unit.settings
    )
    if now.key != unit.key:
        changed = "; ".join(differences(chapter, unit.fingerprint, now))
        raise incomplete(f"{unit.name}: sources changed while it ran ({changed}); run again")


def _provenance(
    unit: Unit,
    trace: Trace,
    watch: Watch,
    seconds: float,
    threads: int,
    origin: SourceState,
    executed: Any,
) -> Provenance:
    started = datetime.fromtimestamp(time.time() - seconds, UTC)
    return Provenance(
        key=unit.key,
        profile=unit.profile,
        seed=unit.seed,
        parameters=unit.fingerprint.parameters,
        device=unit.device,
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        cpu_seconds=round(trace.cpu_seconds, 3),
        peak_rss_mb=round(watch.peak / 2**20),
        peak_gpu_mb=round(trace.peak_gpu_bytes / 2**20),
        threads=threads,
        versions=unit.fingerprint.versions,
        data_read=trace.data,
        host=Host(
            cpu=cpu_name(),
            cores=psutil.cpu_count(),
            memory_gb=round(psutil.virtual_memory().total / 2**30),
            gpu=trace.gpu,
            system=f"{platform.system()} {platform.machine()}",
        ),
        cell_seconds=tuple(
            round(watch.seconds.get(index, 0.0), 3)
            for index, cell in enumerate(executed.cells)
            if cell.cell_type == "code" and is_chapters(cell)
        ),
        commit=origin.commit,
        dirty=origin.dirty,
    )
