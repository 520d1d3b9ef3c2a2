"""The papermill engine of the press: one kernel of this very interpreter, watched, with bounded output."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from kexue.press.execution.failures import RunFailed, failed_at
from kexue.press.execution.messages import Gauge, cut_error
from kexue.press.execution.monitor import EndedBy, Watch
from kexue.press.project import signal_name
from kexue.press.store.failure import Failure, FailureKind
from kexue.press.store.plan import Unit

ENGINE = "kexue"
STARTS = (60, 120, 240)  # seconds that each attempt to start a kernel may take: a cold file server is slow
_PATH_LIMIT = 80  # characters that leave room for a socket's name in the 107 of its address


class KernelNotStarted(RuntimeError):
    """No kernel could be started, in as many attempts as there are."""


class _KernelManager(AsyncKernelManager):
    """Starts ipykernel in this interpreter, whatever kernel specs the user has installed.

    It is spoken to by sockets in a folder of its own. A TCP port is chosen before the kernel can bind it, and once in some
    hundred starts side by side another process has taken it meanwhile: the kernel then hangs with half its channels.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        usual = tempfile.gettempdir()
        self.folder = tempfile.TemporaryDirectory(
            prefix="kexue-", dir=usual if len(usual) <= _PATH_LIMIT else "/tmp", ignore_cleanup_errors=True
        )
        self.said = Path(self.folder.name, "stderr")
        self.transport = "ipc"
        self.ip = f"{self.folder.name}/kernel"
        self.connection_file = f"{self.folder.name}/kernel.json"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir="", **get_kernel_dict())


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    watch: Watch

    def __init__(self, nb_man: Any, watch: Watch, **options: Any) -> None:
        super().__init__(
            nb_man,
            kernel_manager_class=_KernelManager,
            shutdown_kernel="immediate",
            # Nobody asks a kernel that is gone for its history, which would be a database in its working folder.
            extra_arguments=["--HistoryManager.enabled=False"],
            **options,
        )
        self.watch = watch
        self._gauge = Gauge()
        self._options: dict[str, Any] = {}
        self.on_cell_error = _note_error

    def start_new_kernel(self, **options: Any) -> None:
        self._options = options
        with self.km.said.open("wb") as said:
            super().start_new_kernel(**options, stderr=said)
        self.watch.started(self.km.provisioner.process, self.km.folder.cleanup)

    def start_new_kernel_client(self) -> Any:
        """Wait for the kernel; one that does not answer is ended, and another started: no cell has run yet."""
        why = ""
        for attempt, self.startup_timeout in enumerate(STARTS):
            if attempt:
                self.create_kernel_manager()
                self.start_new_kernel(**self._options)
            said = self.km.said
            try:
                return super().start_new_kernel_client()
            except RuntimeError as error:
                if self.watch.ended_by is not None:
                    raise
                why = f"{error}\n{said.read_text(encoding='utf-8', errors='replace')[-2000:]}".strip()
                self.watch.kill()
        raise KernelNotStarted(f"no kernel could be started in {len(STARTS)} attempts; of the last: {why}")

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **options: Any) -> Any:
        self.watch.start_cell(cell_index)
        return super().execute_cell(cell, cell_index, *args, **options)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        return super().process_message(msg, cell, cell_index) if self._gauge.lets(msg, cell_index) else None


def _note_error(cell: Any, cell_index: int, execute_reply: dict[str, Any]) -> None:
    """Show the error of a cell that shows none: IPython only prints what it thinks of an unknown magic."""
    if not any(output.output_type == "error" for output in cell.outputs):
        told = cut_error(dict(execute_reply["content"]))
        words = {name: told.get(name) or "" for name in ("ename", "evalue")}
        cell.outputs.append(
            nbformat.v4.new_output("error", **words, traceback=list(told.get("traceback") or ()))
        )


class PressEngine(Engine):  # type: ignore[misc]
    """Papermill's engine with the press's client; the watch comes in as an engine argument."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        watch: Watch,
        cell_limit: float,
        env: dict[str, str],
        partial: Path,
        **_: Any,
    ) -> Any:
        """Execute the notebook; errors of cells are left in it for papermill to raise.

        Args:
            nb_man: papermill's manager of the notebook.
            kernel_name: ignored: the kernel is this interpreter.
            watch: takes charge of the kernel.
            cell_limit: seconds a cell may take.
            env: environment of the kernel.
            partial: where the notebook is left if its kernel is lost.
        """
        seconds = math.ceil(cell_limit)  # nbclient wants whole ones
        client = _Client(nb_man, watch, timeout=seconds, iopub_timeout=30, kernel_name=sys.executable)
        try:
            client.execute(env=env)
        except BaseException:
            partial.write_text(nbformat.writes(nb_man.nb), encoding="utf-8")
            raise


papermill_engines.register(ENGINE, PressEngine)


def execute(
    unit: Unit, notebook: Any, *, folder: Path, partial: Path, watch: Watch, env: dict[str, str]
) -> Any:
    """Execute a notebook in a kernel of its own; the executed one.

    Args:
        unit: whose notebook it is.
        notebook: the notebook.
        folder: the kernel's working folder.
        partial: where the notebook is left if a cell raises or its kernel is lost.
        watch: takes charge of the kernel.
        env: environment of the kernel.

    Raises:
        RunFailed: a cell has raised or taken too long, the kernel has ended, or there was none.
    """
    try:
        with watch.watching(unit.chapter.limit("chapter", unit.profile)):
            papermill.execute_notebook(
                notebook,
                _literal(partial),
                engine_name=ENGINE,
                kernel_name=NATIVE_KERNEL_NAME,
                language="python",
                progress_bar=False,
                # Papermill would write the whole notebook twice a cell: half of what it costs beyond the cells themselves.
                request_save_on_cell_execute=False,
                cwd=str(folder),
                partial=partial,
                watch=watch,
                cell_limit=unit.chapter.limit("cell", unit.profile),
                env=env,
            )
    except (PapermillExecutionError, RuntimeError, TimeoutError) as error:
        raise _explained(unit, notebook, watch, error) from error
    return nbformat.reads(partial.read_text(encoding="utf-8"), as_version=4)


def _literal(path: Path) -> str:
    """A path as papermill takes it: it fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _explained(unit: Unit, notebook: Any, watch: Watch, error: Exception) -> RunFailed:
    """What an error of papermill or nbclient means, while `watch` was on the kernel."""
    limits = {which: unit.chapter.limit(which, unit.profile) for which in ("cell", "chapter")}
    peak, most = watch.peak / 2**20, (watch.memory_limit or 0) / 2**20
    at, traceback, code = watch.cell, None, None
    if isinstance(error, PapermillExecutionError):
        at, traceback = error.cell_index, error.traceback
        kind, message = FailureKind.RAISED, f"raised {error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        kind, message = FailureKind.CELL_LIMIT, f"ran past the limit of {limits['cell']:g} s a cell"
    elif watch.ended_by is EndedBy.MEMORY_LIMIT:
        kind = FailureKind.OUT_OF_MEMORY
        message = f"ran out of memory: it took {peak:.0f} MB, and a run may take {most:.0f} MB here"
    elif watch.ended_by is EndedBy.CHAPTER_LIMIT:
        kind = FailureKind.CHAPTER_LIMIT
        message = f"was running when the chapter reached its limit of {limits['chapter']:g} s"
    elif isinstance(error, KernelNotStarted):
        return RunFailed(Failure(FailureKind.NO_KERNEL, f"{unit.chapter.path}: {error}"))
    elif isinstance(error, DeadKernelError):
        code = watch.exit_code()
        kind, message = (
            FailureKind.KERNEL_DIED,
            f"was running when {_death(code)}, at {peak:.0f} MB of memory",
        )
    else:
        kind, message = FailureKind.KERNEL_LOST, f"broke the kernel's line: {error}"
    return failed_at(unit, notebook, at, kind, message, traceback, code)


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the kernel ended with exit code {code}"
    name = signal_name(-code)
    hint = ", as when memory runs out" if name == "SIGKILL" else ""
    return f"the kernel was killed by {name}{hint}"
