"""The papermill engine of the press: one kernel of this very interpreter, watched, with bounded output."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import tempfile
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
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # of its sockets
        self._limit = self._deadline = math.inf

    def started(self, manager: Any) -> None:
        """Take charge of the kernel that `manager` has started."""
        self._process, self._folder = manager.provisioner.process, manager.folder
        self.on_kernel(self._process.pid)

    def start_cell(self, index: int) -> None:
        """Note that cell `index` starts, and how long the one before it took."""
        now = time.monotonic()
        if self.cell < 0:  # the chapter's time begins when its kernel is there
            self._deadline = now + self._limit
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
        if self._folder is not None:
            self._folder.cleanup()

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
        """Sample memory while the block runs, and end the kernel when its cells have run for `limit` seconds."""
        done = threading.Event()
        self._limit = limit

        def watch() -> None:
            while not done.wait(0.1):
                self._sample()
                if self.memory_limit is not None and self.peak_rss > self.memory_limit:
                    self.kill("memory limit")
                if time.monotonic() > self._deadline:
                    self.kill("chapter limit")  # again and again: a child may have come meanwhile

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
        self._options: dict[str, Any] = {}

    def start_new_kernel(self, **options: Any) -> None:
        self._options = options
        with self.km.said.open("wb") as said:
            super().start_new_kernel(**options, stderr=said)
        self.watch.started(self.km)

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
        client = _Client(nb_man, watch, timeout=seconds, iopub_timeout=30, kernel_name=sys.executable)
        try:
            client.execute(env=env)
        except BaseException:
            partial.write_text(nbformat.writes(nb_man.nb), encoding="utf-8")
            raise


papermill_engines.register(ENGINE, PressEngine)
