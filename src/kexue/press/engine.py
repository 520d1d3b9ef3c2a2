"""The papermill engine of the press: one kernel of this very interpreter, watched, with bounded output."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

ENGINE = "kexue"
OUTPUT_LIMIT = 1_000_000  # characters of text a cell may print; a chapter is read, a flood is not


class _KernelManager(AsyncKernelManager):
    """Starts ipykernel in this interpreter, whatever kernel specs the user has installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir="", **get_kernel_dict())


class Watch:
    """What goes on in the kernel of one run: which cell, how much memory; and the means to end it at once.

    Args:
        on_kernel: called with the process id of the kernel once it runs.
        memory_limit: bytes that the kernel and what it starts may take together; None: as many as there are.
    """

    def __init__(self, on_kernel: Callable[[int], None], memory_limit: int | None = None) -> None:
        self.on_kernel = on_kernel
        self.memory_limit = memory_limit
        self.on_cell: Callable[[int], None] = lambda index: None
        self._family: set[psutil.Process] = set()
        self.cell = -1
        self.seconds: dict[int, float] = {}  # by cell, of those that have ended
        self._began = time.monotonic()
        self.peak_rss = 0
        self.ended_by: str | None = None
        self._process: Any = None

    def started(self, manager: Any) -> None:
        """Take charge of the kernel that `manager` has started."""
        self._process = manager.provisioner.process
        self.on_kernel(self._process.pid)

    def start_cell(self, index: int) -> None:
        """Note that cell `index` starts, and how long the one before it took."""
        now = time.monotonic()
        self.seconds[self.cell] = now - self._began
        self.cell, self._began = index, now
        self.on_cell(index)

    def exit_code(self) -> int | None:
        """The exit code of the kernel (negative: killed by that signal), None while it lives."""
        code = None if self._process is None else self._process.poll()
        return None if code is None else int(code)

    def kill(self, why: str | None = None) -> None:
        """End the kernel, everything it started, and its process group, at once; `why` says on whose account."""
        self.ended_by = self.ended_by or why
        if self._process is None:
            return
        self._sample()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)  # the kernel leads a session of its own
        for process in self._family:  # what it started in other sessions; psutil never kills a reused pid
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _sample(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(psutil.Error):
            kernel = psutil.Process(self._process.pid)
            family = [kernel, *kernel.children(recursive=True)]
            self._family.update(family)
            self.peak_rss = max(self.peak_rss, sum(process.memory_info().rss for process in family))

    @contextlib.contextmanager
    def watching(self, limit: float) -> Iterator[None]:
        """Sample memory while the block runs, and end the kernel when it has run for `limit` seconds."""
        done = threading.Event()
        deadline = time.monotonic() + limit

        def watch() -> None:
            while not done.wait(0.1):
                self._sample()
                if self.memory_limit is not None and self.peak_rss > self.memory_limit:
                    self.kill("memory limit")
                if time.monotonic() > deadline:
                    self.kill("chapter limit")  # again and again: the kernel may not have been there yet

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.kill()  # nothing the kernel has left behind outlives the run


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    watch: Watch

    def __init__(self, nb_man: Any, watch: Watch, **options: Any) -> None:
        super().__init__(nb_man, kernel_manager_class=_KernelManager, shutdown_kernel="immediate", **options)
        self.watch = watch
        self._printed: dict[int, int] = {}

    def start_new_kernel(self, **options: Any) -> None:
        super().start_new_kernel(**options)
        self.watch.started(self.km)

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **options: Any) -> Any:
        self.watch.start_cell(cell_index)
        return super().execute_cell(cell, cell_index, *args, **options)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            printed = self._printed.get(cell_index, 0)
            if printed > OUTPUT_LIMIT:
                return None
            text = msg["content"]["text"]
            self._printed[cell_index] = printed + len(text)
            if printed + len(text) > OUTPUT_LIMIT:
                kept = text[: OUTPUT_LIMIT - printed]
                msg["content"]["text"] = f"{kept}\n[output cut here: more than {OUTPUT_LIMIT:,} characters]\n"
        return super().process_message(msg, cell, cell_index)


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
        client = _Client(
            nb_man, watch, timeout=seconds, startup_timeout=120, iopub_timeout=30, kernel_name=sys.executable
        )
        try:
            client.execute(env=env)
        except BaseException:
            partial.write_text(nbformat.writes(nb_man.nb), encoding="utf-8")
            raise


papermill_engines.register(ENGINE, PressEngine)
