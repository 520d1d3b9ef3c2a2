"""The examples in ci/cluster, run as they are with real Dask processes on loopback; only sbatch and ssh are stood in for."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from distributed import Client, Security

from tests.book.chapters import ROOT
from tests.press.tiny_book import TinyBook

CLUSTER = ROOT / "ci" / "cluster"
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port that is free, and the three after it most likely too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stand_in(folder: Path, name: str, text: str) -> None:
    """An executable of that name in the folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


def environment(*first: Path, **more: str) -> dict[str, str]:
    """This environment with folders at the head of the path."""
    path = os.pathsep.join([*map(str, first), str(BIN), os.environ["PATH"]])
    return {**os.environ, "PATH": path, **more}


@pytest.fixture
def book(tmp_path: Path) -> TinyBook:
    """A tiny book whose one chapter says what it was given."""
    book = TinyBook(tmp_path / "book-root")
    book.write("one", "import os\nprint('threads', os.environ['OMP_NUM_THREADS'])", seeds=2)
    return book


def finish(command: list[str], book: TinyBook, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the book to its end; no process of it may listen on anything but loopback."""
    env = {**env, "KEXUE_STORE": str(book.store)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=book.root, env=env, stdout=pipe, stderr=pipe, text=True)
    open_to = set()
    for _ in range(300):
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=0.5)
            assert open_to <= {"127.0.0.1"}
            return subprocess.CompletedProcess(command, process.returncode, out, err)
        open_to |= addresses_of(process.pid)
    process.kill()
    raise AssertionError(f"{command} did not end: {process.communicate()}")


def addresses_of(pid: int) -> set[str]:
    """The addresses that a process and those it started listen on."""
    found = set()
    with contextlib.suppress(psutil.Error):
        for process in (top := psutil.Process(pid), *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                connections = process.net_connections()
                found |= {at.laddr.ip for at in connections if at.status == psutil.CONN_LISTEN}
    return found


def output_of(book: TinyBook) -> list[str]:
    """What the chapter printed, by run."""
    texts = [path.read_text() for path in book.store.glob("runs/*/*/notebook.ipynb")]
    return [text.partition("threads ")[2][:1] for text in texts]


def processes_naming(text: str) -> list[str]:
    """The command lines that hold a text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


SBATCH = """
# Slurm in small: the job runs here, its output beside it.
cp "${@: -1}" "$JOBS/$$.sh"; cp "$JOBS/$$.sh" "$JOBS/script"
setsid bash "$JOBS/$$.sh" >"$JOBS/$$.log" 2>&1 </dev/null & echo $! >"$JOBS/$$"
echo "Submitted batch job $$"
"""
SCANCEL = 'for job in "$@"; do kill -- "-$(cat "$JOBS/$job")"; touch "$JOBS/$job.cancelled"; done'


def test_slurm(book: TinyBook, tmp_path: Path):
    jobs, folder = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    stand_in(folder, "sbatch", SBATCH)
    stand_in(folder, "scancel", SCANCEL)
    script = [
        sys.executable,
        str(CLUSTER / "slurm.py"),
        "--jobs",
        "2",
        "--interface",
        "lo",
        "--memory",
        "2GiB",
    ]
    script += ["--threads", "2", "--gpu-memory", "80", "--option=--partition=gpu"]
    command = ["--", "run", "--profile", "quick"]
    refused = finish([*script, *command], book, environment(folder, JOBS=str(jobs)))
    assert refused.returncode != 0
    assert "no certificates" in refused.stderr

    done = finish([*script, "--plaintext", *command], book, environment(folder, JOBS=str(jobs)))
    assert done.returncode == 0, done.stderr + done.stdout
    assert output_of(book) == ["2", "2"]
    job = (jobs / "script").read_text()
    for line in ("#SBATCH --gres=gpu:1", "#SBATCH --partition=gpu", "#SBATCH --cpus-per-task=2"):
        assert line in job
    assert "--nthreads 1" in job
    assert "--resources 'GPU=1 GPU_MEMORY=80'" in job
    assert len(list(jobs.glob("*.cancelled"))) == 2


def test_ssh(book: TinyBook, tmp_path: Path):
    folder, log = tmp_path / "bin", tmp_path / "log"
    log.mkdir()
    stand_in(
        folder,
        "ssh",
        f'printf "%s\\n" "$@" >{log}/$$; [[ "$*" = *alice* ]] || exec sleep 120; exec bash -c "${{@: -1}}"',
    )
    port = str(free_port())
    env = environment(
        folder, KEXUE_PORT=port, KEXUE_PYTHON=sys.executable, KEXUE_GPU_MEMORY="24", OMP_NUM_THREADS="1"
    )
    script = [str(CLUSTER / "ssh.sh"), "alice@one:2", "two", "--", "run", "--profile", "quick"]
    done = finish(script, book, env)
    assert done.returncode == 0, done.stderr + done.stdout
    assert output_of(book) == ["1", "1"]
    said = sorted(path.read_text() for path in log.iterdir())
    assert len(said) == 2
    with_gpus = next(text for text in said if "\nalice@one\n" in text)
    assert with_gpus.count(f"127.0.0.1:{port}:127.0.0.1:{port}") == 1
    assert "CUDA_VISIBLE_DEVICES=0 " in with_gpus
    assert "CUDA_VISIBLE_DEVICES=1 " in with_gpus
    assert with_gpus.count("--resources 'GPU=1 GPU_MEMORY=24'") == 2
    without = next(text for text in said if "\ntwo\n" in text)
    assert "GPU" not in without
    assert not processes_naming(f"tcp://127.0.0.1:{port}")


@contextlib.contextmanager
def tls_cluster(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A scheduler and a worker with the certificates that certificates.sh makes; the address and the environment."""
    made = subprocess.run([CLUSTER / "certificates.sh", folder], capture_output=True, text=True, check=True)
    script = f"{made.stdout}\nenv -0 | grep -z ^DASK_"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode()
    settings = dict(entry.split("=", 1) for entry in shown.split("\0") if entry)
    env, port = environment(**settings), free_port()
    scheduler = [
        BIN / "dask",
        "scheduler",
        "--host",
        "127.0.0.1",
        "--protocol",
        "tls",
        "--port",
        str(port),
        "--dashboard-address",
        "127.0.0.1:0",
    ]
    address = f"tls://127.0.0.1:{port}"
    worker = [
        BIN / "dask",
        "worker",
        address,
        "--host",
        "127.0.0.1",
        "--nthreads",
        "1",
        "--dashboard-address",
        "127.0.0.1:0",
    ]
    worker += ["--local-directory", folder]
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [
            subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) for command in (scheduler, worker)
        ]
        yield address, settings
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def test_certificates(book: TinyBook, tmp_path: Path):
    with tls_cluster(tmp_path / "tls") as (address, settings):
        authority = tmp_path / "tls" / "authority.pem"
        mine = {
            "tls_client_cert": str(tmp_path / "tls/certificate.pem"),
            "tls_client_key": str(tmp_path / "tls/key.pem"),
        }
        with Client(
            address, security=Security(tls_ca_file=str(authority), require_encryption=True, **mine)
        ) as client:
            client.wait_for_workers(1, timeout=60)
        assert len(settings) == 8
        assert (tmp_path / "tls" / "key.pem").stat().st_mode & 0o77 == 0
        assert not list((tmp_path / "tls").glob("*authority-key*"))

        done = finish([str(BIN / "kexue"), "run", "--cluster", address], book, environment(**settings))
        assert done.returncode == 0, done.stderr

        stranger = tmp_path / "stranger"
        subprocess.run([CLUSTER / "certificates.sh", stranger], capture_output=True, check=True)
        other = {
            "tls_client_cert": str(stranger / "certificate.pem"),
            "tls_client_key": str(stranger / "key.pem"),
        }
        # A certificate by another authority opens nothing, whichever authority its holder trusts.
        for authority_file in (authority, stranger / "authority.pem"):
            with pytest.raises(OSError, match=r"SSL|TLS|Timed out|certificate"):
                Client(address, security=Security(tls_ca_file=str(authority_file), **other), timeout="3s")
        plain = finish(
            [str(BIN / "kexue"), "run", "--force", "--cluster", address.replace("tls", "tcp")],
            book,
            environment(),
        )
        assert plain.returncode == 2


def made_environment() -> list[str]:
    """The variables that certificates.sh sets, as its text says."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(
            [CLUSTER / "certificates.sh", folder], capture_output=True, text=True, check=True
        )
    return [line.removeprefix("export ") for line in made.stdout.splitlines()]


def test_kubernetes_says_what_the_others_say():
    cluster, policy = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
    worker, scheduler = cluster["spec"]["worker"]["spec"], cluster["spec"]["scheduler"]
    (container,) = worker["containers"]
    assert {"--nthreads=1", "--protocol=tls", "--resources=GPU=1 GPU_MEMORY=79"} < set(container["args"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {entry["name"]: entry["value"] for entry in container["env"]}[
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"
    ] == "true"
    assert scheduler["service"]["type"] == "ClusterIP"
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= scheduler["service"]["selector"].items()
    names = {line.split("=")[0] for line in made_environment()}
    assert names == {entry["name"] for entry in container["env"]}
