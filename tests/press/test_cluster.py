"""Runs on a Dask cluster: what must come back, and what may go wrong on the way. Real processes on loopback, no mocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kexue.press.cluster.clusters import able
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.plan import plan
from kexue.press.store.store import Store
from tests.press.dask_cluster import Cluster
from tests.press.processes import assert_gone, can_mount, hang, note_pid, wait_for_pids
from tests.press.tiny_book import TinyBook


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.stop()


def worker_of(kernel: int) -> psutil.Process:
    """The Dask worker under which a kernel runs: its run's process's parent."""
    run = psutil.Process(kernel).parent()
    assert run is not None
    worker = run.parent()
    assert worker is not None
    return worker


def in_front(folder: Path) -> dict[str, str]:
    """An environment in which Python looks into the folder first."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def once_then(path: Path, then: str) -> str:
    """Code that hangs the first time it is run, wherever that is, and does `then` the second time."""
    return f"{note_pid(path)}\nimport time\nif len(open({str(path)!r}).readlines()) == 1:\n    time.sleep(600)\n{then}"


def test_runs_travel_whole_and_leave_nothing_behind(cluster: Cluster, book: TinyBook):
    for name in "ab":
        cluster.start_worker(name)
    cluster.wait_for(2)
    book.write("where", body="import os\nprint('in', os.getcwd())", seeds=3)
    book.write("unlucky", body="assert seed != 1, 'unlucky'", seeds=5, offset="2")
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 1, done.stderr
    assert "code cell 3 of 4 raised AssertionError: unlucky" in done.stderr
    assert "4 of 5" in done.stdout
    assert {row["chapter"]: row["runs"] for row in book.json("list")} == {
        "where": "3 of 3",
        "unlucky": "4 of 5",
    }
    assert next(row["seeds"] for row in book.json("claims", "unlucky")) == [0, 2, 3, 4]
    made = "".join(path.read_text() for path in (book.store / "runs").glob("*/*/notebook.ipynb"))
    assert "in <scratch>" in made  # made there, shown here, without a path of that machine
    assert str(cluster.folder) not in made
    assert len(list((book.store / "failed").glob("*/partial.ipynb"))) == 1
    assert cluster.left_behind() == []
    assert not list((book.store / "tmp").iterdir())
    again = book.kexue("run", "where", "--cluster", cluster.address)
    assert again.returncode == 0
    assert "start" not in again.stderr


def test_a_lost_worker_costs_one_run_and_no_finished_one(cluster: Cluster, book: TinyBook, tmp_path: Path):
    for name in "ab":
        cluster.start_worker(name)
    cluster.wait_for(2)
    book.write("steady", body=note_pid(tmp_path / "steady"))
    book.write("struck", body=once_then(tmp_path / "struck", "x = 3"))
    process = book.start("run", "--cluster", cluster.address)
    (kernel,) = wait_for_pids(tmp_path / "struck")
    wait_for_pids(tmp_path / "steady")
    time.sleep(2)  # the steady one ends and is stored
    worker_of(kernel).kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_gone([kernel])
    assert "was lost; struck · quick · seed 0 goes to another" in err
    assert any(f"start  struck · quick · seed 0, on {name}" in err for name in "ab")
    assert len((tmp_path / "struck").read_text().splitlines()) == 2
    assert len((tmp_path / "steady").read_text().splitlines()) == 1


def test_a_lost_scheduler_is_told_and_a_second_call_resumes(cluster: Cluster, book: TinyBook, tmp_path: Path):
    cluster.start_worker("a")
    cluster.wait_for(1)
    book.write("first", body=note_pid(tmp_path / "first"))
    book.write("second", body=once_then(tmp_path / "second", "x = 4"))
    assert book.kexue("run", "first", "--cluster", cluster.address).returncode == 0
    process = book.start("run", "--cluster", cluster.address)
    kernels = wait_for_pids(tmp_path / "second")
    cluster.scheduler.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "is gone; finished runs are stored" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 2  # that it started, and this
    assert_gone(kernels, within=40)
    cluster.scheduler.wait()
    cluster.start_scheduler()
    cluster.start_worker("b")
    again = book.kexue("run", "--cluster", cluster.address)
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "first").read_text().splitlines()) == 1


def test_workers_that_are_not_like_us_are_refused_by_name(cluster: Cluster, book: TinyBook, tmp_path: Path):
    other = tmp_path / "other"
    (other / "torch-1.0.dist-info").mkdir(parents=True)
    (other / "torch-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n"
    )
    broken = tmp_path / "broken" / "papermill"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no papermill on this machine')\n")
    cluster.start_worker("other", env=in_front(other))
    cluster.start_worker("broken", env=in_front(broken.parent))
    cluster.wait_for(2)
    book.write("one")
    refused = book.kexue("run", "--cluster", cluster.address)
    assert refused.returncode == 1
    assert "its torch is 1.0, here" in refused.stderr
    assert "Install there what is installed here" in refused.stderr
    assert "it cannot import what a run needs: ImportError: no papermill on this machine" in refused.stderr
    assert "no worker of the cluster can make it" in refused.stderr
    cluster.start_worker("good")
    cluster.wait_for(3)
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not can_mount(), reason="this system lets nobody mount in a namespace of one's own")
def test_a_worker_with_a_full_disk_is_left_out(cluster: Cluster, book: TinyBook, tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=300k tmpfs {small} && exec "$@"'
    cluster.start_worker("full", local=small, prefix=("unshare", "-rm", "sh", "-c", mount, "sh"))
    cluster.wait_for(1)
    book.write("big", body="import os, base64\nprint(base64.b64encode(os.urandom(700_000)).decode())")
    alone = book.kexue("run", "--cluster", cluster.address)
    assert alone.returncode == 1
    assert "has no space left" in alone.stderr
    cluster.start_worker("roomy")
    cluster.wait_for(2)
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr


def test_a_run_that_eats_memory_is_told_with_the_figure_and_hurts_nobody(cluster: Cluster, book: TinyBook):
    for name in "ab":
        cluster.start_worker(name, "--nthreads", "1", "--memory-limit", "500MB")
    cluster.wait_for(2)
    book.write(
        "greedy",
        body="import time\nheld = []\nwhile True:\n    held.append(bytearray(20_000_000))\n    time.sleep(0.05)",
    )
    book.write("modest", seeds=2, offset="2")
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 1
    assert "greedy.md" in done.stderr
    assert "ran out of memory: it took" in done.stderr
    assert "a run may take 477 MB here" in done.stderr
    assert book.state("modest") == "fresh"
    assert all(worker.poll() is None for worker in cluster.workers.values())


def test_a_killed_client_leaves_no_kernel_and_can_be_started_again(
    cluster: Cluster, book: TinyBook, tmp_path: Path
):
    cluster.start_worker("a")
    cluster.wait_for(1)
    book.write("one", body=once_then(tmp_path / "pids", "x = 5"))
    for how in (signal.SIGKILL, signal.SIGINT):
        (tmp_path / "pids").unlink(missing_ok=True)
        process = book.start("run", "--cluster", cluster.address)
        kernels = wait_for_pids(tmp_path / "pids")
        process.send_signal(how)
        process.communicate(timeout=30)
        assert process.returncode == (-9 if how is signal.SIGKILL else 130)
        assert_gone(kernels, within=15)
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    assert cluster.left_behind() == []


def test_a_poisoned_run_is_given_up_after_three_workers(cluster: Cluster, book: TinyBook, tmp_path: Path):
    for name in "abcd":
        cluster.start_worker(name)
    cluster.wait_for(4)
    poison = "import psutil\npsutil.Process().parent().parent().kill()\nimport time\ntime.sleep(600)"
    book.write("poison", body=f"{note_pid(tmp_path / 'pids')}\n{poison}")
    book.write("sound", seeds=2, offset="2")
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 1
    assert "failed: poison · quick · seed 0: every worker that began it was lost" in done.stderr
    assert "given up after 3" in done.stderr
    assert len((tmp_path / "pids").read_text().splitlines()) == 3
    assert book.state("sound") == "fresh", done.stderr
    assert sum(worker.poll() is None for worker in cluster.workers.values()) == 1


def test_a_gpu_is_held_by_one_run_unless_it_says_that_two_fit(
    cluster: Cluster, book: TinyBook, tmp_path: Path
):
    """The worker only says that it has a GPU: who gets it, and what a run sees, needs none."""
    cluster.start_worker("cpu")
    cluster.start_worker("cuda:7", "--nthreads", "4", "--resources", "GPU=1 GPU_MEMORY=80")
    cluster.wait_for(2)

    def spans(slug: str) -> list[tuple[float, float]]:
        lines = sorted((tmp_path / slug).read_text().splitlines())
        found = [(float(begin), float(end)) for begin, end, device in map(str.split, lines) if device == "7"]
        assert len(found) == len(lines) == 2
        return found

    for slug, needs in (
        ("alone", "gpus: 1"),
        ("shared", "gpus: 0.5, gpu_memory_gb: 40"),
        ("large", "gpus: 1, gpu_memory_gb: 141"),
    ):
        body = (
            "import os, time\nbegin = time.time()\ntime.sleep(2)\n"
            f"print(begin, time.time(), os.environ['CUDA_VISIBLE_DEVICES'], file=open({str(tmp_path / slug)!r}, 'a'))"
        )
        book.write(slug, body=body, seeds=2, needs=needs)
    done = book.kexue("run", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    (_, end), (begin, _) = spans("alone")
    assert end <= begin
    (_, end), (begin, _) = spans("shared")
    assert end > begin
    assert "not runnable here: large · quick · seed 0: it needs 1 GPU, 141 GiB of GPU memory" in done.stderr
    assert not (tmp_path / "large").exists()


def start_impatient(book: TinyBook, cluster: Cluster, **seconds: float) -> subprocess.Popen[str]:
    """`kexue run` on the cluster, with less patience than it has: `MUTE_AFTER=20` and the like."""
    settings = [f"heartbeat.{name} = {value}" for name, value in seconds.items()]
    script = "\n".join(
        [
            "from kexue.cli import main",
            "from kexue.press.cluster import compatibility, heartbeat",
            "compatibility.ANSWERS_WITHIN = 60",
            *settings,
            "main()",
        ]
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, "run", "--cluster", cluster.address],
        cwd=book.root,
        env={**os.environ, "KEXUE_STORE": str(book.store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_frozen_worker_is_told_and_its_run_goes_to_another(
    cluster: Cluster, book: TinyBook, tmp_path: Path
):
    """It keeps its connection, and the scheduler its trust in it for minutes."""
    for name in "ab":
        cluster.start_worker(name)
    cluster.wait_for(2)
    book.write("frozen", body=once_then(tmp_path / "pids", "x = 3"))
    process = start_impatient(book, cluster, TOLD_AFTER=10, MUTE_AFTER=20)
    (kernel,) = wait_for_pids(tmp_path / "pids")
    frozen = worker_of(kernel)
    frozen.suspend()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    name = next(name for name, worker in cluster.workers.items() if worker.pid == frozen.pid)
    assert f"no word from the worker {name} for" in err
    assert f"frozen · quick · seed 0 is taken from the worker {name} and goes to another" in err
    frozen.resume()
    assert_gone([kernel], within=60)  # nobody wants its run any more


def test_a_worker_that_does_not_answer_is_refused_and_keeps_no_other_waiting(
    cluster: Cluster, book: TinyBook
):
    frozen = cluster.start_worker("frozen")
    cluster.start_worker("awake")
    cluster.wait_for(2)
    frozen.send_signal(signal.SIGSTOP)
    book.write("one")
    process = start_impatient(book, cluster)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "is not used: it cannot be asked for its versions (it has not answered for 60 s)" in err
    assert "start  one · quick · seed 0, on awake" in err


def test_a_frozen_scheduler_is_told_and_given_up(cluster: Cluster, book: TinyBook, tmp_path: Path):
    cluster.start_worker("a")
    cluster.wait_for(1)
    book.write("one", body=hang(tmp_path / "pids"))
    process = start_impatient(book, cluster, TOLD_AFTER=10, FROZEN_AFTER=20)
    wait_for_pids(tmp_path / "pids")
    cluster.scheduler.send_signal(signal.SIGSTOP)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "no word from the scheduler at" in err
    assert "has not answered for 20 s; finished runs are stored" in err
    assert "Traceback" not in err


def test_no_scheduler_is_told(book: TinyBook):
    book.write("one")
    done = book.kexue("run", "--cluster", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert book.kexue("run", "--cluster", "tcp://127.0.0.1:9", "--jobs", "2").returncode == 2


def test_by_default_nothing_listens_but_on_loopback(book: TinyBook, tmp_path: Path):
    book.write("one", body=hang(tmp_path / "pids"))
    process = book.start("run")
    (kernel,) = wait_for_pids(tmp_path / "pids")
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert kernel in [member.pid for member in family]
    heard = {
        connection.laddr.ip
        for member in family
        for connection in member.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert heard == {"127.0.0.1"}


def test_the_longest_run_starts_first(book: TinyBook):
    for slug, seconds in (("a-short", 0.1), ("b-long", 1.5)):
        book.write(slug, body=f"import time\ntime.sleep({seconds})")
    assert book.kexue("run").returncode == 0
    again = book.kexue("run", "--force", "--jobs", "1")
    starts = [line.split()[1] for line in again.stderr.splitlines() if line.startswith("start")]
    assert starts == ["b-long", "a-short"]


def test_a_grid_of_settings_becomes_one_table(book: TinyBook):
    book.write(
        "one",
        body="settings = {'steps': 2, 'rate': 0.5, 'name': 'x'}",
        offset="settings['steps'] * settings['rate']",
    )
    done = book.kexue("run", "one", "--set", "steps=4,6", "--set", "rate=0.25")
    assert done.returncode == 0, done.stderr
    rows = book.json("table", "one")
    means = {
        (row["settings"]["steps"], row["settings"]["rate"]): row["mean"]
        for row in rows
        if row["id"] == "small"
    }
    assert means == {(4, 0.25): 1.0, (6, 0.25): 1.5}
    assert book.json("list")[0]["state"] == "never run"  # a changed setting is not the chapter
    assert book.json("claims")[0]["verdict"] == "untested"
    words = book.kexue("run", "one", "--set", "name=cat", "--seeds", "0,1")
    assert words.returncode == 0, words.stderr
    unknown = book.kexue("run", "one", "--set", "step=4")
    assert unknown.returncode == 1
    assert "--set step: settings has steps, rate, name" in unknown.stderr
    for bad in ("steps", "steps=", "a b=1"):
        assert book.kexue("run", "one", "--set", bad).returncode == 2


def test_who_may_take_a_run(book: TinyBook):
    large = {"resources": {"GPU": 1.0, "GPU_MEMORY": 80.0}, "memory_limit": 64 * 2**30}
    found = {
        "plain": {"resources": {}, "memory_limit": 4 * 2**30},
        "boundless": {"resources": {}, "memory_limit": None},
        "small": {"resources": {"GPU": 1.0, "GPU_MEMORY": 16.0}, "memory_limit": 8 * 2**30},
        "large": large,
    }
    takers = {
        "": ["plain", "boundless"],
        "memory_gb: 6": ["boundless"],
        "gpus: 1": ["small", "large"],
        "gpus: 0.5, gpu_memory_gb: 20": ["large"],
        "gpus: 2": [],
    }
    for needs, expected in takers.items():
        book.write("one", needs=needs)
        (unit,) = plan(Store(book.store), catalogue(book.root), profile="quick", device="auto")
        assert able(unit, found) == expected, needs
    book.write("one")
    (unit,) = plan(Store(book.store), catalogue(book.root), profile="quick", device="auto")
    assert able(unit, {"large": large}) == ["large"]  # better on a GPU's machine than nowhere
