"""How much memory a process and what it has started hold together, looked at without costing what it measures."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

import psutil

SHARE = 0.02  # of one core: what looking may cost at most


class Memory:
    """The memory of a process and of its descendants.

    Of one process it is what is resident. Of several it is the sum of their proportional sizes (PSS): resident sizes count
    what forks share once for each of them. A proportional size is read off all the pages of a process and takes long for
    a large one; how long decides when it is read again.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self.seen: set[psutil.Process] = {self._root}
        self.peak = 0
        self._family: list[psutil.Process] = [self._root]
        self._held = self._resident = 0  # when looked at closely
        self._due = 0.0

    def look(self, limit: float = math.inf) -> None:
        """See what is held now: closely when that is due, or when the limit may have been passed since.

        Args:
            limit: bytes that may be held.
        """
        now = time.monotonic()
        if now < self._due and self._held + sum(map(_resident, self._family)) - self._resident <= limit:
            return
        began = time.thread_time()
        self._look_closely()
        self._due = now + (time.thread_time() - began) / SHARE

    def _look_closely(self) -> None:
        try:
            self._family = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return
        self.seen.update(self._family)
        self._resident = sum(map(_resident, self._family))
        self._held = self._resident if len(self._family) == 1 else _proportional(self._family)
        self.peak = max(self.peak, self._held)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(family: Collection[psutil.Process]) -> int:
    total = 0
    for process in family:
        try:
            full = process.memory_full_info()
            total += int(getattr(full, "pss", full.uss))  # only Linux knows the former
        except psutil.Error:  # it has ended, or is another user's
            total += _resident(process)
    return total
