"""What a run has started, whatever it did to get away: a double fork, a session of its own, an empty environment."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl
_PATIENCE = 2.0  # seconds in which what is killed should be gone

_adopting = False


def adopt() -> None:
    """Make this process, which makes one run and nothing else, the parent of every process below it that loses its own.

    Only Linux can do this; elsewhere a daemon outlives its run.
    """
    global _adopting
    if sys.platform == "linux":
        _adopting = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def end_all(spared: int) -> None:
    """Kill every process below this one, until none is left, if this process has adopted them.

    Args:
        spared: a child that somebody else waits for, and whose exit code must not be taken from him.
    """
    deadline = time.monotonic() + _PATIENCE
    while _adopting and time.monotonic() < deadline:
        left = [one for one in psutil.Process().children(recursive=True) if one.pid != spared]
        if not left:
            return
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=0.5)
