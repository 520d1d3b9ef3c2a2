"""Nothing hangs and nothing is left behind: by low limits of the system, the user's Dask, signals, runs that attack."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from kexue.press.cluster import job, limits, scheduler
from kexue.press.cluster import worker as at_work
from kexue.press.cluster.process import taken
from kexue.press.cluster.runner import run_units
from kexue.press.cluster.task import Event, Outcome, OutcomeStatus, TaskResult, TaskStatus
from kexue.press.project import PressError
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.plan import plan
from kexue.press.store.store import Store
from tests.press.processes import assert_gone, hang, note_pid, wait_for_pids
from tests.press.tiny_book import TinyBook


def run_here(book: TinyBook, **options: Any) -> list[Outcome]:
    """Run all chapters from this very process."""
    store = Store(book.store)
    units = plan(store, catalogue(book.root), profile="quick", device="auto")
    return run_units(units, store, **{"force": False, "tell": lambda event: None, **options})


def allow(monkeypatch: pytest.MonkeyPatch, which: int, amount: int) -> None:
    """Pretend that this system allows so much of something, and is not used by its administrator."""
    real = resource.getrlimit
    monkeypatch.setattr(
        resource, "getrlimit", lambda asked: (amount, amount) if asked == which else real(asked)
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize(
    ("which", "amount", "message"),
    [
        (
            resource.RLIMIT_NOFILE,
            32,
            "the limit of open files is 32; kexue needs at least 128: ulimit -n 128",
        ),
        (resource.RLIMIT_NPROC, 20, "the limit of processes is 20; kexue needs at least 96: ulimit -u 96"),
    ],
)
def test_too_low_a_limit_is_told_before_anything_starts(monkeypatch, which: int, amount: int, message: str):
    allow(monkeypatch, which, amount)
    with pytest.raises(PressError, match=message):
        limits.check(units=2, at_a_time=2)


@pytest.mark.parametrize("which", [resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC])
def test_what_is_asked_for_is_enough(monkeypatch, which: int):
    for amount in (256, 4096, resource.RLIM_INFINITY):
        allow(monkeypatch, which, amount)
        limits.check(units=2, at_a_time=2)
    allow(monkeypatch, which, 256)
    with pytest.raises(PressError, match="256"):
        limits.check(units=1000, at_a_time=64)


def test_a_command_with_few_files_ends_in_a_sentence(book: TinyBook):
    book.write("one")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 32 && exec "$@"', "sh", sys.executable, "-m", "kexue.cli", "run"],
        cwd=book.root,
        env={**os.environ, "KEXUE_STORE": str(book.store)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "the limit of open files is 32; kexue needs at least 128" in done.stderr


def test_the_users_dask_settings_do_not_reach_the_cluster_inside(book: TinyBook, tmp_path: Path):
    book.write("one")
    settings, temporary = tmp_path / "dask.yaml", tmp_path / "tmp"
    temporary.mkdir()
    settings.write_text("distributed:\n  scheduler:\n    preload: [no_such_module]\n")
    env = {
        "DASK_CONFIG": str(settings),
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": "['no_such_module']",
        "DASK_TEMPORARY_DIRECTORY": "/proc/nowhere",
        "TMPDIR": str(temporary),
    }
    done = book.kexue("run", env=env)
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    assert list((book.store / "tmp").iterdir()) == []


def test_what_a_start_up_file_prints_is_no_event(book: TinyBook, tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\nif 'kexue.press.execution.process' in sys.orig_argv:\n    print('hello', flush=True)\n"
    )
    book.write("one")
    done = book.kexue("run", env={"PYTHONPATH": f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}"})
    assert done.returncode == 0, done.stderr


def test_a_run_that_stops_its_process_is_ended_by_the_dispatchers_clock(
    book: TinyBook, tmp_path: Path, monkeypatch
):
    """The chapter's own limit lies in the process that is stopped."""
    monkeypatch.setattr(job, "GRACE", 2.0)
    stop = "import signal\nos.kill(os.getppid(), signal.SIGSTOP)"
    book.write(
        "stops",
        body=hang(tmp_path / "pids").replace("\nimport time", f"\n{stop}\nimport time"),
        chapter_limit=2,
    )
    (outcome,) = run_here(book)
    assert outcome.status == OutcomeStatus.FAILED
    assert "no end of it: its chapter's limit is 2 s, and 2 s more have passed" in outcome.message
    assert_gone(wait_for_pids(tmp_path / "pids"))
    failure = Store(book.store).failure(outcome.unit.key)
    assert failure is not None
    assert failure.kind == "chapter limit"


def another_run(task: Any, topic: str, number: int) -> TaskResult:
    """A worker that returns another run than it was asked for."""
    return TaskResult(TaskStatus.DONE, "0" * 32, archive=b"")


def test_a_result_of_another_task_is_no_result(book: TinyBook, monkeypatch):
    monkeypatch.setattr(scheduler, "perform", another_run)
    book.write("one")
    (outcome,) = run_here(book)
    assert outcome.status == OutcomeStatus.FAILED
    assert "returned another run (00000000000000000000000000000000)" in outcome.message
    assert not list((book.store / "runs").glob("*/*"))


def test_a_worker_that_raises_returns_a_failure(book: TinyBook, monkeypatch):
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(at_work, "_in_folder", broken)
    book.write("one")
    (outcome,) = run_here(book)
    assert outcome.status == OutcomeStatus.FAILED
    assert outcome.message.endswith("failed: KeyError: 'surprise'")


def test_no_process_is_told(book: TinyBook, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(PressError, match="no process can be started for a run"), taken({}):
        pass


def run_processes(command: subprocess.Popen[str]) -> list[int]:
    """The processes that a command has started for its runs."""
    found = []
    for child in psutil.Process(command.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "kexue.press.execution.process" in child.cmdline():
                found.append(child.pid)
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ending_the_command_while_it_starts(book: TinyBook, how: signal.Signals):
    """Its processes are there, Dask is not yet."""
    book.write("one")
    process = book.start("run")
    while not (pids := run_processes(process)):
        assert process.poll() is None
    process.send_signal(how)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert_gone(pids, within=60)
    assert book.state("one") == "never run"


def test_ending_a_command_that_waits_for_another(book: TinyBook, tmp_path: Path):
    book.write("one", body=hang(tmp_path / "pids"))
    maker = book.start("run")
    (kernel,) = wait_for_pids(tmp_path / "pids")
    waiting = book.start("run")
    assert waiting.stderr is not None
    said = waiting.stderr.readline()
    assert said.startswith("wait   one"), said
    pids = run_processes(waiting)
    waiting.send_signal(signal.SIGTERM)
    waiting.communicate(timeout=120)
    assert waiting.returncode == 130
    assert_gone(pids, within=60)
    assert psutil.pid_exists(kernel)
    maker.send_signal(signal.SIGTERM)
    maker.communicate(timeout=120)
    assert_gone([kernel], within=60)


def test_a_killed_run_process_leaves_no_folder(book: TinyBook, tmp_path: Path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    kill = "import signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"
    book.write("one", body=f"{note_pid(tmp_path / 'pids')}\n{kill}")
    done = book.kexue("run", env={"TMPDIR": str(temporary)})
    assert done.returncode == 1
    assert "the process of the run was killed by SIGKILL" in done.stderr
    assert_gone(wait_for_pids(tmp_path / "pids"))
    assert list(temporary.iterdir()) == []


def test_start_says_where(book: TinyBook):
    book.write("one")
    events: list[Event] = []
    (outcome,) = run_here(book, tell=events.append)
    assert outcome.status == OutcomeStatus.DONE, outcome.message
    assert [event.where for event in events if event.name == "started"] == [""]
    again = book.kexue("run", "--force")
    assert "start  one · quick · seed 0, here (took" in again.stderr
