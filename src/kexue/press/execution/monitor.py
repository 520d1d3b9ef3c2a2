"""What goes on in the kernel of one run, and the means to end it at once."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import psutil

from kexue.press.execution import descendants
from kexue.press.execution.memory import Memory

_TICK = 0.1  # seconds between two looks


class EndedBy(StrEnum):
    """On whose account a kernel was killed."""

    MEMORY_LIMIT = "memory limit"
    CHAPTER_LIMIT = "chapter limit"
    CALLER = "caller"


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
        self.cell = -1
        self.seconds: dict[int, float] = {}  # by cell, of those that have ended
        self.ended_by: EndedBy | None = None
        self.peak = 0  # bytes
        self._began = time.monotonic()
        self._process: Any = None
        self._memory: Memory | None = None
        self._cleanup: Callable[[], None] = lambda: None
        self._limit = self._deadline = math.inf

    def started(self, process: Any, cleanup: Callable[[], None]) -> None:
        """Take charge of a kernel.

        Args:
            process: the kernel, which leads a session of its own; its `poll` gives the exit code.
            cleanup: called when it has been killed.
        """
        self._process, self._cleanup = process, cleanup
        with contextlib.suppress(psutil.Error):  # gone already
            self._memory = Memory(process.pid)
        self.on_kernel(process.pid)

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

    def kill(self, why: EndedBy | None = None) -> None:
        """End the kernel, its process group and everything else it has started, at once; `why` says on whose account."""
        self.ended_by = self.ended_by or why
        if self._process is None:
            return
        self._look()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in self._memory.seen if self._memory else ():  # psutil never kills a reused pid
            with contextlib.suppress(psutil.Error):
                process.kill()
        descendants.end_all(spared=self._process.pid)
        self._cleanup()

    def _look(self) -> None:
        if self._memory is not None:
            self._memory.look(self.memory_limit or math.inf)
            self.peak = max(self.peak, self._memory.peak)

    @contextlib.contextmanager
    def watching(self, limit: float) -> Iterator[None]:
        """Look at memory while the block runs, and end the kernel when its cells have run for `limit` seconds."""
        done = threading.Event()
        self._limit = limit

        def watch() -> None:
            while not done.wait(_TICK):
                self._look()
                if self.memory_limit is not None and self.peak > self.memory_limit:
                    self.kill(EndedBy.MEMORY_LIMIT)
                if time.monotonic() > self._deadline:
                    self.kill(EndedBy.CHAPTER_LIMIT)  # again and again: a child may have come meanwhile

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.kill()  # nothing the kernel has left behind outlives the run
