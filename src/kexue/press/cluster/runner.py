"""Runs units on Dask, each in a process of its own, and tells what happens to each."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from kexue.press.cluster import limits, process
from kexue.press.cluster.dask_settings import dask_as_it_comes
from kexue.press.cluster.task import Event, Interrupted, Outcome, OutcomeStatus
from kexue.press.project import PressError
from kexue.press.store.plan import Unit
from kexue.press.store.store import Store


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stale(units: Sequence[Unit], force: bool) -> list[Unit]:
    """The units that need a run: those that are not fresh; with `force` all."""
    return [unit for unit in units if force or unit.run is None]


def run_stale(
    units: Sequence[Unit],
    store: Store,
    *,
    force: bool,
    tell: Callable[[Event], None],
    jobs: int | None = None,
    cluster: str | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> list[Outcome]:
    """Run those of the units that are stale (see `run_units`); an outcome for each, the fresh ones first."""
    work = stale(units, force)
    outcomes = [
        Outcome(unit, OutcomeStatus.FRESH, seconds=unit.run.seconds)
        for unit in units
        if unit.run is not None and not force
    ]
    if work:
        store.check_writable()
        outcomes += run_units(work, store, force=force, tell=tell, jobs=jobs, cluster=cluster, warn=warn)
    return outcomes


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
        units: what to run, one at least.
        store: where results go.
        force: whether to run again what is stored already.
        tell: called with each event, from the calling thread.
        jobs: how many at a time on this machine, ≥ 1.
        cluster: the address of a Dask scheduler, whose workers decide how many.
        warn: called with what a user should know of the cluster.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C, after every run has been ended.
        PressError: the scheduler cannot be reached or is lost, finished runs are stored; or this system's limits are
            too low for any run.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be ≥ 1, got {jobs}")
    if jobs is not None and cluster is not None:
        raise ValueError(
            "jobs must be left out with a cluster: its workers decide how many runs go at a time"
        )
    with _signals(), _system():
        if cluster is not None:
            return _elsewhere(cluster, units, store, force, tell, warn)
        return _here(jobs, units, store, force, tell, warn)


# Dask takes half a second to import: not where nothing is run, and not before the processes of the runs have started.


def _elsewhere(
    address: str,
    units: Sequence[Unit],
    store: Store,
    force: bool,
    tell: Callable[[Event], None],
    warn: Callable[[str], None],
) -> list[Outcome]:
    limits.check(len(units))
    from kexue.press.cluster import clusters, compatibility
    from kexue.press.cluster.scheduler import Dispatcher

    with clusters.remote(address) as client:
        dispatcher = Dispatcher(client, store, force, tell, warn=warn)
        dispatcher.refused = compatibility.unlike(
            client, list(dispatcher.heartbeat.workers), compatibility.ANSWERS_WITHIN
        )
        for worker, why in dispatcher.refused.items():
            warn(f"the worker {worker} is not used: {why}")
        return dispatcher.run(units)


def _here(
    jobs: int | None,
    units: Sequence[Unit],
    store: Store,
    force: bool,
    tell: Callable[[Event], None],
    warn: Callable[[str], None],
) -> list[Outcome]:
    at_a_time = min(jobs or cores(), len(units), _fitting(units))
    limits.check(len(units), at_a_time)
    with contextlib.ExitStack() as ended:
        ended.callback(process.dismiss)
        process.prepare(min(at_a_time, sum(unit.device == "cpu" for unit in units)))
        ended.enter_context(dask_as_it_comes())
        from kexue.press.cluster import clusters
        from kexue.press.cluster.scheduler import Dispatcher

        gpus = clusters.gpus_here() if any(unit.device == "cuda" for unit in units) else []
        client = ended.enter_context(clusters.local(at_a_time, gpus, scratch=store.folder / "tmp"))
        threads = max(1, cores() // at_a_time)
        return Dispatcher(client, store, force, tell, threads=threads, warn=warn).run(units)


def _fitting(units: Sequence[Unit]) -> int:
    """How many runs at a time leave each the memory that the neediest asks for; at least one."""
    import psutil

    most = max(unit.chapter.need("memory_gb", unit.profile) for unit in units)
    return max(1, int(psutil.virtual_memory().total / 2**30 / most)) if most else len(units)


# What Python and Dask say, as a RuntimeError, when threads or files run out.
_OF_THE_SYSTEM = ("start new thread", "Cluster failed to start")


@contextlib.contextmanager
def _system() -> Iterator[None]:
    """Say in a sentence what this system does not allow: threads, files, memory.

    Raises:
        PressError: for an error of the system that has found no words yet.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _OF_THE_SYSTEM):
            raise
        why = str(error) or type(error).__name__
        raise PressError(
            f"this system does not let the runs go on ({why}); finished runs are stored. See what ulimit -a allows"
        ) from error


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP raise `Interrupted` in the main thread, once: what follows is the ending."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
