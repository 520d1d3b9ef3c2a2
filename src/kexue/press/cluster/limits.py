"""Whether this system lets a command have the files and processes that its runs need."""

from __future__ import annotations

import os
import resource

from kexue.press.project import PressError

AHEAD = 64  # units that are handed on at a time; each holds a lock file
_KERNEL = 128  # open files of a notebook's kernel: 66 for the smallest chapter, and some to spare
_COMMAND = 64  # those of the command: 20 measured
_RUN = 4  # those of the command for a run: its process's two pipes and what it takes to start it
_THREADS = 32  # of the command: 12 measured; the system counts threads as processes
_THREADS_OF_A_RUN = 32  # 24 measured


def check(units: int, at_a_time: int = 0) -> None:
    """Check what this system allows before anything is started.

    Args:
        units: how many are to be run.
        at_a_time: how many at a time on this machine; 0: none.

    Raises:
        PressError: naming the limit, what it is and what is needed.
    """
    files = max(_KERNEL, _COMMAND + _RUN * at_a_time + min(units, AHEAD))
    _demand(resource.RLIMIT_NOFILE, files, "open files", "-n")
    if at_a_time and os.geteuid() != 0:  # root may start as many as it likes
        _demand(resource.RLIMIT_NPROC, _THREADS + _THREADS_OF_A_RUN * at_a_time, "processes", "-u")


def _demand(which: int, needed: int, what: str, option: str) -> None:
    allowed, _ = resource.getrlimit(which)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise PressError(
            f"the limit of {what} is {allowed}; kexue needs at least {needed}: ulimit {option} {needed}"
        )
