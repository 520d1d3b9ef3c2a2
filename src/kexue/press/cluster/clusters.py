"""Where runs are made: on a Dask cluster inside this process, or on any Dask scheduler by its address."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.config
import psutil
from distributed import Client, Scheduler, SpecCluster, Worker

from kexue.press.project import PressError
from kexue.press.store.plan import Unit

_LOOPBACK = "127.0.0.1:0"  # Dask's web server cannot be left out; here nobody else reaches it
_SLOTS_PER_GPU = 8  # runs that may share a GPU if each says that so many fit
_PATIENCE = 60.0  # seconds a cluster gets for its first worker
_FAREWELL = 5.0  # seconds for taking leave of a scheduler, which may be frozen


def gpus_here() -> list[tuple[str, float]]:
    """The GPUs of this machine that may be used: what CUDA_VISIBLE_DEVICES calls each, and its memory in GiB.

    torch is asked in a process of its own: asking takes GPU memory and seconds.
    """
    if not Path("/dev/nvidiactl").exists():  # without a driver there is nothing to ask
        return []
    question = (
        "import json, torch; print(json.dumps([torch.cuda.get_device_properties(i).total_memory / 2**30 "
        "for i in range(torch.cuda.device_count())]))"
    )
    asked = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True)
    memories = json.loads(asked.stdout) if asked.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(len(memories))]
    return list(zip(names, memories, strict=False))


def _quiet() -> None:
    """Leave the telling to the press: whatever Dask logs of a lost scheduler, the user reads one sentence."""
    for name in ("asyncio", "distributed", "tornado", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in (
            "asyncio",
            "distributed",
            "tornado",
        ):  # Dask gives each a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def local(jobs: int, gpus: list[tuple[str, float]], scratch: Path) -> Iterator[Client]:
    """A cluster in this process, where nothing listens for work: `jobs` workers of one thread, and one for each GPU.

    A run is a process of its own all the same; a worker only waits for it.

    Args:
        jobs: runs at a time on the processor.
        gpus: the GPUs to use (see `gpus_here`).
        scratch: where Dask may lay its own files; it leaves none.
    """
    _quiet()
    scratch.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="dask-", dir=scratch, ignore_cleanup_errors=True) as folder,
        dask.config.set({"temporary-directory": folder}),
    ):
        common: dict[str, Any] = {"protocol": "inproc://", "dashboard_address": _LOOPBACK}
        share = psutil.virtual_memory().total // (jobs + len(gpus))
        at_work = {**common, "memory_limit": share}
        workers: dict[Any, Any] = {
            index: {"cls": Worker, "options": {**at_work, "nthreads": 1}} for index in range(jobs)
        }
        for name, memory in gpus:
            options = {
                "nthreads": _SLOTS_PER_GPU,
                "resources": {"GPU": 1, "GPU_MEMORY": memory},
                "name": f"cuda:{name}",
            }
            workers[f"cuda:{name}"] = {"cls": Worker, "options": {**at_work, **options}}
        scheduler = {"cls": Scheduler, "options": common}
        with SpecCluster(workers=workers, scheduler=scheduler) as cluster, Client(cluster) as client:
            yield client


@contextmanager
def remote(address: str) -> Iterator[Client]:
    """A scheduler that is there already; certificates come from Dask's own configuration.

    Raises:
        PressError: when none answers, or it has no workers after a while.
    """
    _quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared by `unlike`, with what to do about it
            client = Client(address, timeout="10s")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise PressError(
            f"no Dask scheduler answers at {address} ({error}); start one with dask scheduler"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, TimeoutError) as error:
            raise PressError(
                f"the scheduler at {address} has no worker; start some with dask worker"
            ) from error
        yield client
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            client.close(timeout=_FAREWELL)


def demands(unit: Unit) -> dict[str, float]:
    """What a run asks of Dask's resources: GPUs (below 1: it shares one) and GPU memory in GiB; nothing on a CPU."""
    if unit.device != "cuda":
        return {}
    needs = {name: unit.chapter.need(name, unit.profile) for name in ("gpus", "gpu_memory_gb")}
    return {
        "GPU": needs["gpus"] or 1.0,
        **({"GPU_MEMORY": needs["gpu_memory_gb"]} if needs["gpu_memory_gb"] else {}),
    }


def needs_of(unit: Unit) -> str:
    """What a unit needs of a machine, in words."""
    needs = {what: unit.chapter.need(what, unit.profile) for what in ("gpus", "gpu_memory_gb", "memory_gb")}
    if unit.device == "cuda" and not needs["gpus"]:
        needs["gpus"] = 1.0
    amounts = (
        (needs["gpus"], f"{needs['gpus']:g} GPU"),
        (needs["gpu_memory_gb"], f"{needs['gpu_memory_gb']:g} GiB of GPU memory"),
        (needs["memory_gb"], f"{needs['memory_gb']:g} GiB of memory"),
    )
    return ", ".join(text for amount, text in amounts if amount) or "a worker"


def able(unit: Unit, found: dict[str, dict[str, Any]]) -> list[str]:
    """The workers that have what a run needs, by address.

    A worker without a memory limit has enough memory. GPUs are left to those who ask for one, where others will do.
    """
    memory = unit.chapter.need("memory_gb", unit.profile) * 2**30
    fit = [
        address
        for address, worker in found.items()
        if all(worker["resources"].get(name, 0) >= amount for name, amount in demands(unit).items())
        and memory <= (worker["memory_limit"] or math.inf)
    ]
    plain = [address for address in fit if not found[address]["resources"].get("GPU")]
    return plain if plain and unit.device == "cpu" else fit


def slots(found: dict[str, dict[str, Any]]) -> int:
    """How many runs the workers can make at a time."""
    return sum(math.ceil(worker["nthreads"]) for worker in found.values())
