"""Processes for runs that are started before they are needed, and load the notebook libraries meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping

_waiting: list[subprocess.Popen[str]] = []


def spawn(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """The process of one run, waiting for its order on standard input; it ends when that is closed.

    Args:
        environment: variables it has beyond those of this process.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "kexue.press.execution.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def prepare(count: int) -> None:
    """Start `count` processes for the next runs of this process."""
    _waiting.extend(spawn({}) for _ in range(count))


def take(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process for a run: one that waits, if any is left and its environment will do, else a new one."""
    while not environment:
        try:
            process = _waiting.pop()
        except IndexError:
            break
        if process.poll() is None:
            return process
    return spawn(environment)


def dismiss() -> None:
    """End the processes that were not needed."""
    while _waiting:
        process = _waiting.pop()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.terminate()
        process.wait()
