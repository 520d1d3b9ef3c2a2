"""Runs units on Dask, each in a process of its own, and tells what happens to each."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from kexue.press.cluster import process as warm
from kexue.press.cluster.events import Event, Interrupted, Outcome
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_units(
    units: Sequence[Unit],
    store: Store,
    *,
    force: bool,
    tell: Callable[[Event], None],
    jobs: int | None = None,
    cluster: str | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> list[Outcome]:
    """Run the units on Dask, the longest first; one that fails leaves the others alone.

    Without `cluster` they run on this machine, as many at a time as it has cores (on a GPU: one, or as many as say that
    so many fit), each with its share of the cores as threads: two runs that both take every core slow each other manyfold.

    Args:
        units: what to run.
        store: where results go.
        force: whether to run again what is stored already.
        tell: called with each event, from the calling thread.
        jobs: how many at a time on this machine, ≥ 1.
        cluster: the address of a Dask scheduler, whose workers decide how many.
        warn: called with what a user should know of the cluster.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C, after every run has been ended.
        PressError: the scheduler cannot be reached or is lost; finished runs are stored.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be ≥ 1, got {jobs}")
    if jobs is not None and cluster is not None:
        raise ValueError(
            "jobs must be left out with a cluster: its workers decide how many runs go at a time"
        )
    with _signals():
        if cluster is not None:
            return _elsewhere(cluster, units, store, force, tell, warn)
        return _here(jobs, units, store, force, tell)


# Dask takes half a second to import: not where nothing is run, and not before the processes of the runs have started.


def _elsewhere(
    address: str,
    units: Sequence[Unit],
    store: Store,
    force: bool,
    tell: Callable[[Event], None],
    warn: Callable[[str], None],
) -> list[Outcome]:
    from kexue.press.cluster import clusters as place
    from kexue.press.cluster.scheduler import Dispatch

    with place.remote(address) as client:
        unlike = place.unlike(client)
        for worker, why in unlike.items():
            warn(f"the worker {worker} is not used: {why}")
        return Dispatch(client, store, force, tell, refused=unlike, warn=warn).run(units)


def _here(
    jobs: int | None, units: Sequence[Unit], store: Store, force: bool, tell: Callable[[Event], None]
) -> list[Outcome]:
    at_a_time = min(jobs or cores(), len(units), _fitting(units))
    with contextlib.ExitStack() as ended:
        ended.callback(warm.dismiss)
        warm.prepare(min(at_a_time, sum(unit.device == "cpu" for unit in units)))
        from kexue.press.cluster import clusters as place
        from kexue.press.cluster.scheduler import Dispatch

        gpus = place.gpus_here() if any(unit.device == "cuda" for unit in units) else []
        client = ended.enter_context(place.local(at_a_time, gpus))
        dispatch = Dispatch(client, store, force, tell, threads=max(1, cores() // at_a_time))
        try:
            return dispatch.run(units)
        finally:
            dispatch.end()


def _fitting(units: Sequence[Unit]) -> int:
    """How many runs at a time leave each the memory that the neediest asks for; at least one."""
    import psutil

    most = max(unit.chapter.need("memory_gb", unit.profile) for unit in units)
    return max(1, int(psutil.virtual_memory().total / 2**30 / most)) if most else len(units)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP raise `Interrupted` in the main thread."""

    def stop(*_: object) -> None:
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
