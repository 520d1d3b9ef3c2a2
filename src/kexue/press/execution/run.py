"""One run of one chapter: notebook and parameters in, a stored run or a stored failure out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from kexue.press.execution.kernel import ENGINE, KernelNotStarted, Watch
from kexue.press.execution.outputs import (
    INJECTED,
    RunFailed,
    check_executed,
    cleaned,
    collect,
    failed,
    incomplete,
    ordinal_of,
)
from kexue.press.execution.trace import TRACE_CELL, TRACE_TAG
from kexue.press.project import LIBRARY, PressError, cpu_name, signal_name
from kexue.press.sources.cells import assigned_names, parse
from kexue.press.sources.chapter import Chapter
from kexue.press.store.failure import Failure
from kexue.press.store.fingerprint import differences, fingerprint, forget
from kexue.press.store.plan import Unit
from kexue.press.store.store import NOTEBOOK, PARTIAL, Run, Store

SETTINGS = "settings"  # the mapping in which a chapter keeps what its profile changes
SCRATCH = "scratch"  # the kernel's working folder: what a chapter leaves behind there is not kept


def make(
    unit: Unit,
    store: Store,
    *,
    threads: int,
    origin: dict[str, Any],
    on_cell: Callable[[int, int], None],
    watch: Watch,
) -> Run:
    """Run a unit in a process of its own kernel and store the result.

    Args:
        unit: what to run.
        store: where the result goes.
        threads: threads for torch, BLAS and OpenMP.
        origin: of which commit the sources are, and whether they differ from it.
        on_cell: called with (i, n) as the i-th of n code cells starts, from 1.
        watch: takes charge of the kernel; `watch.kill` ends the run.

    Raises:
        RunFailed: the run failed; the failure is stored.
        PressError: the store cannot be written.
    """
    workspace = store.workspace(unit.key)
    clock = time.monotonic()
    try:
        return _made(unit, store, workspace, threads, origin, on_cell, watch)
    except RunFailed as error:
        shutil.rmtree(workspace / SCRATCH, ignore_errors=True)
        error.failure.update(seconds=time.monotonic() - clock, peak_rss_mb=round(watch.peak_rss / 2**20))
        with contextlib.suppress(PressError):  # on a full disk the failure itself is still told
            store.fail(workspace, unit.key, Failure.from_record(error.failure))
        raise
    except OSError as error:
        shutil.rmtree(workspace, ignore_errors=True)
        raise store.unwritable(error) from error


def _made(
    unit: Unit,
    store: Store,
    workspace: Path,
    threads: int,
    origin: dict[str, Any],
    on_cell: Callable[[int, int], None],
    watch: Watch,
) -> Run:
    started = time.time()
    clock = time.monotonic()
    scratch = workspace / SCRATCH
    scratch.mkdir()
    notebook = _notebook(unit)
    cells = unit.chapter.code_cells
    watch.on_cell = lambda index: on_cell(min(ordinal_of(notebook.cells, index), len(cells)), len(cells))
    executed = _execute(unit, notebook, workspace, scratch, threads, watch)
    traces, claims, measurements = collect(unit, executed)
    _check_unchanged(unit)
    seconds = time.monotonic() - clock
    record = {
        "chapter": unit.chapter.slug,
        "fingerprint": unit.fingerprint.record(),
        "provenance": {
            **_provenance(unit, traces, watch, started, seconds, threads),
            "cell_seconds": _cell_seconds(executed, watch),
            **origin,
        },
        "claims": claims,
        "measurements": measurements,
    }
    (workspace / NOTEBOOK).write_text(nbformat.writes(cleaned(executed)), encoding="utf-8")
    (workspace / PARTIAL).unlink(missing_ok=True)
    shutil.rmtree(scratch)
    return store.commit(workspace, unit.key, record, seconds)


def _notebook(unit: Unit) -> Any:
    """The chapter's notebook with the parameters injected and the press's own last cell."""
    try:
        unit.chapter.check_cells()
        unit.chapter.check_parameters()
    except PressError as error:
        raise RunFailed({"kind": "chapter", "message": str(error)}) from error
    parameters = {"profile": unit.profile, "seed": unit.seed, "device": unit.device}
    notebook = parameterize_notebook(
        load_notebook_node(unit.chapter.notebook),
        parameters,
        kernel_name=NATIVE_KERNEL_NAME,
        language="python",
    )
    if unit.settings:
        notebook.cells.insert(_after_settings(unit, notebook.cells), _override(unit.settings))
    notebook.cells = [*notebook.cells, new_code_cell(TRACE_CELL, metadata={"tags": [TRACE_TAG]})]
    for position, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{position}\0{cell.source}".encode()).hexdigest()[:12]
    return notebook


def _after_settings(unit: Unit, cells: list[Any]) -> int:
    """The place behind the cell that makes the chapter's `settings`."""
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and SETTINGS in assigned_names(parse(cell.source)):
            return place + 1
    message = (
        f"{unit.chapter.path}: --set changes the mapping `{SETTINGS}`, and no cell of the chapter makes one"
    )
    raise RunFailed({"kind": "chapter", "message": message})


def _override(settings: dict[str, Any]) -> Any:
    """A cell that changes entries of `settings`, and refuses names it does not have."""
    code = f"""for _name, _value in {settings!r}.items():
    if _name not in {SETTINGS}:
        raise KeyError(f"--set {{_name}}: settings has {{', '.join({SETTINGS})}}")
    {SETTINGS}[_name] = _value"""
    return new_code_cell(code, metadata={"tags": [INJECTED]})


def _environment(unit: Unit, scratch: Path, threads: int) -> dict[str, str]:
    """The kernel's environment: this very library, threads, and nothing of the user's IPython."""
    count = str(threads)
    pinned = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), count
    )
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if unit.device == "cpu" else {}
    path = [
        LIBRARY,
        *(Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry),
    ]
    # The kernel works in a folder of its own, where a relative path is another.
    data = os.environ.get("KEXUE_DATA")
    own = {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": str(scratch / ".ipython"),
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve the other run on a small machine
        "TQDM_DISABLE": "1",  # a progress bar is for who waits in front of it, not for the page
        **({"KEXUE_DATA": str(Path(data).resolve())} if data else {}),
    }
    # Matplotlib draws into the notebook only where nobody has chosen another backend for it.
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    return {**inherited, **pinned, **hidden, **own}


def _execute(unit: Unit, notebook: Any, workspace: Path, scratch: Path, threads: int, watch: Watch) -> Any:
    partial = workspace / PARTIAL
    try:
        with watch.watching(unit.chapter.limit("chapter", unit.profile)):
            papermill.execute_notebook(
                notebook,
                str(partial),
                engine_name=ENGINE,
                kernel_name=NATIVE_KERNEL_NAME,
                language="python",
                progress_bar=False,
                # Papermill would write the whole notebook twice a cell: half of what it costs beyond the cells themselves.
                request_save_on_cell_execute=False,
                partial=partial,
                cwd=str(scratch),
                watch=watch,
                cell_limit=unit.chapter.limit("cell", unit.profile),
                env=_environment(unit, scratch, threads),
            )
    except PapermillExecutionError as error:
        raise failed(
            unit,
            notebook,
            watch,
            "raised",
            f"raised {error.ename}: {error.evalue}",
            error.traceback,
            at=error.cell_index,
        ) from error
    except CellTimeoutError as error:
        limit = unit.chapter.limit("cell", unit.profile)
        raise failed(
            unit, notebook, watch, "cell limit", f"ran past the limit of {limit:g} s a cell"
        ) from error
    except (DeadKernelError, RuntimeError) as error:
        if watch.ended_by == "memory limit":
            peak, limit = watch.peak_rss / 2**20, (watch.memory_limit or 0) / 2**20
            message = f"ran out of memory: it took {peak:.0f} MB, and a run may take {limit:.0f} MB here"
            raise failed(unit, notebook, watch, "out of memory", message) from error
        if watch.ended_by == "chapter limit":
            limit = unit.chapter.limit("chapter", unit.profile)
            message = f"was running when the chapter reached its limit of {limit:g} s"
            raise failed(unit, notebook, watch, "chapter limit", message) from error
        if isinstance(error, KernelNotStarted):
            raise RunFailed({"kind": "no kernel", "message": f"{unit.chapter.path}: {error}"}) from error
        if not isinstance(error, DeadKernelError):
            raise failed(unit, notebook, watch, "broken", f"broke the kernel's line: {error}") from error
        raise failed(unit, notebook, watch, "kernel died", f"was running when {_death(watch)}") from error
    executed = nbformat.reads(partial.read_text(encoding="utf-8"), as_version=4)
    check_executed(unit, executed, watch)
    return executed


def _death(watch: Watch) -> str:
    code = watch.exit_code()
    memory = f"at {watch.peak_rss / 2**20:.0f} MB of memory"
    if code is None or code >= 0:
        return f"the kernel ended with exit code {code}, {memory}"
    name = signal_name(-code)
    hint = ", as when memory runs out" if name == "SIGKILL" else ""
    return f"the kernel was killed by {name}{hint}, {memory}"


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


def _cell_seconds(executed: Any, watch: Watch) -> list[float]:
    """What each code cell of the chapter took, in order; the press's own cells left out."""
    return [
        round(watch.seconds.get(index, 0.0), 3)
        for index, cell in enumerate(executed.cells)
        if cell.cell_type == "code" and not {INJECTED, TRACE_TAG} & set(cell.metadata.get("tags", ()))
    ]


def _provenance(
    unit: Unit, traces: dict[str, Any], watch: Watch, started: float, seconds: float, threads: int
) -> dict[str, Any]:
    return {
        "key": unit.key,
        "profile": unit.profile,
        "seed": unit.seed,
        "parameters": unit.fingerprint.parameters,
        "device": unit.device,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(traces["cpu_seconds"], 3),
        "peak_rss_mb": round(watch.peak_rss / 2**20),
        "peak_gpu_mb": round(traces["peak_gpu_bytes"] / 2**20),
        "threads": threads,
        "versions": unit.fingerprint.versions,
        "data_read": traces["data"],
        "host": {
            "cpu": cpu_name(),
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "gpu": traces["gpu"],
            "system": f"{platform.system()} {platform.machine()}",
        },
    }
