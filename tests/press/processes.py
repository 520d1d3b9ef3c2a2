"""Chapters that say which process they run in, and what tests do with those processes."""

import contextlib
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import psutil


def note_pid(path: Path) -> str:
    """Code that notes the kernel's process id; a second execution adds a second line."""
    return f"import os\nwith open({str(path)!r}, 'a') as f:\n    print(os.getpid(), file=f)"


def hang(path: Path) -> str:
    """Code that notes the kernel's process id and never ends."""
    return f"{note_pid(path)}\nimport time\ntime.sleep(600)"


def wait_for_pids(path: Path, count: int = 1) -> list[int]:
    """The noted process ids, once there are `count` of them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists():
            lines = path.read_text().splitlines()
            if len(lines) >= count:
                return [int(line) for line in lines]
        time.sleep(0.05)
    raise AssertionError(f"{count} kernels did not reach their cell within 60 s")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def assert_gone(pids: list[int], within: float = 5.0) -> None:
    """None of the processes is left after so many seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)]


@cache
def can_mount() -> bool:
    """Whether this system lets us mount in a namespace of our own."""
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode
    )
