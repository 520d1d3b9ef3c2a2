"""The processes of runs: started before they are needed, given an order, listened to, ended with all they started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from kexue.press.execution.order import Order
from kexue.press.project import PressError

GRACE = 3.0  # seconds a run gets to end its kernel before it is killed
_POLL = 0.2  # seconds between two looks at whether the run is still wanted


class RunProcess:
    """The process of one run, waiting for its order on standard input; it ends when that is closed.

    Args:
        environment: variables it has beyond those of this process.

    Raises:
        PressError: when this system starts no more processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kexue.press.execution.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **environment},
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise PressError(
                f"no process can be started for a run ({error}); see what ulimit -a allows"
            ) from error
        self._kernel: int | None = None
        self._sockets: Path | None = None  # the folder of the kernel's sockets
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def run(self, order: Order, wanted: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Give the order; the events of the run as they come, until it ends. Once `wanted` says no, it is ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(order.line())
            self._process.stdin.flush()  # left open: when this process dies, the run reads the end of it
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            try:
                event = self._events.get(timeout=_POLL)
            except queue.Empty:
                if not wanted():
                    self.end()
                continue
            if event is None:
                return
            if event["event"] == "kernel":
                self._note_kernel(event["pid"])
            else:
                yield event

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(
                    ValueError
                ):  # something else that was printed, by a start-up file say
                    self._events.put(json.loads(line))
        self._events.put(None)

    def _note_kernel(self, pid: int) -> None:
        self._kernel = pid
        with contextlib.suppress(psutil.Error, ValueError, IndexError):
            command = psutil.Process(pid).cmdline()
            folder = Path(command[command.index("-f") + 1]).parent  # of its connection file
            self._sockets = folder if folder.name.startswith("kexue-") else None

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def end(self) -> None:
        """End it: politely first, so that it can end its kernel."""
        if self.alive():
            with contextlib.suppress(OSError):
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        if self.alive():
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def clear_away(self) -> None:
        """End it, and where it died before it could, end its kernel and remove the folder of the kernel's sockets."""
        self.end()
        code = self._process.wait()
        self._close_orders()
        if code in (0, 1):  # a run that is done, or has failed
            return
        if self._kernel is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._kernel, signal.SIGKILL)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def dismiss(self) -> None:
        """End one that never got an order."""
        self._close_orders()
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _close_orders(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


_waiting: list[RunProcess] = []
_running: set[RunProcess] = set()  # of this process, for those who end it


def prepare(count: int) -> None:
    """Start `count` processes for the next runs of this process."""
    _waiting.extend(RunProcess({}) for _ in range(count))


@contextlib.contextmanager
def taken(environment: Mapping[str, str]) -> Iterator[RunProcess]:
    """A process for a run: one that waits, if any is left and its environment will do, else a new one.

    It is ended when the block is left.
    """
    process = _take(environment)
    _running.add(process)
    try:
        yield process
    finally:
        process.clear_away()
        _running.discard(process)


def _take(environment: Mapping[str, str]) -> RunProcess:
    while not environment:
        try:
            process = _waiting.pop()
        except IndexError:
            break
        if process.alive():
            return process
    return RunProcess(environment)


def dismiss() -> None:
    """End the processes that were not needed."""
    while _waiting:
        _waiting.pop().dismiss()


def end_all() -> None:
    """End every run that the workers in this process are making, and wait until none is left."""
    for process in list(_running):
        threading.Thread(target=process.end, daemon=True).start()  # all at once: each may take its time
    deadline = time.monotonic() + 2 * GRACE
    while _running and time.monotonic() < deadline:
        time.sleep(0.02)
