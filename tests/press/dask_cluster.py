"""A Dask scheduler and workers as they would be started by hand: real processes on loopback, each with its own folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil


class Cluster:
    """A scheduler and its workers.

    Args:
        folder: where each process gets a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.start_scheduler()

    def _start(
        self, name: str, *command: str, env: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", *command],
                cwd=home,
                env={**os.environ, "KEXUE_STORE": "/nowhere", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_scheduler(self) -> None:
        """Start the scheduler (again, at another port)."""
        found = self.folder / "scheduler.json"
        found.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler",
            *("distributed.cli.dask_scheduler", "--host", "tcp://127.0.0.1", "--port", "0"),
            *("--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(found)),
        )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, ValueError):
                self.address = json.loads(found.read_text())["address"]
                return
            assert time.monotonic() < deadline, (self.folder / "scheduler.log").read_text()
            time.sleep(0.05)

    def start_worker(
        self,
        name: str,
        *options: str,
        env: dict[str, str] | None = None,
        local: Path | None = None,
        prefix: tuple[str, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread; what it makes lies in a folder of its own."""
        scratch = local or self.folder / name / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        self.workers[name] = self._start(
            name,
            *("distributed.cli.dask_worker", self.address, "--no-nanny", "--name", name),
            *("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--local-directory", str(scratch)),
            *(options or ("--nthreads", "1")),
            env=env,
            prefix=prefix,
        )
        return self.workers[name]

    def wait_for(self, count: int) -> None:
        """Wait until `count` workers have registered."""
        ready = "Starting established connection"
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            logs = [self.folder / f"{name}.log" for name in self.workers]
            if sum(ready in log.read_text() for log in logs if log.exists()) >= count:
                return
            time.sleep(0.1)
        raise AssertionError([log.read_text() for log in logs])

    def left_behind(self) -> list[Path]:
        """The runs' folders that are still on the workers."""
        return [path for path in self.folder.rglob("kexue-run-*") if path.is_dir()]

    def stop(self) -> None:
        """End everything, children included."""
        for process in [*self.workers.values(), self.scheduler]:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        child.kill()
            process.kill()
            process.wait()
