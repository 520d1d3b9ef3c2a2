"""Who of a cluster still answers. Nothing here waits: a frozen scheduler or worker keeps its connection and its status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from distributed import Client

from kexue.press.project import PressError

FROZEN_AFTER = 180.0  # seconds of silence after which a scheduler is given up
MUTE_AFTER = 60.0  # seconds of silence after which a worker's runs are given to others
TOLD_AFTER = 30.0  # seconds of silence after which the user is told
GONE_AFTER = 8.0  # seconds without a connection to the scheduler after which it is given up
_FIRST = 30.0  # seconds the scheduler gets for its first answer
_INTERVAL = 1.0  # seconds between two questions to it
_STEP = 1.0  # seconds that the clock may go on between two looks


class Clock:
    """Seconds as the command lives through them: time in which it is stopped itself (Ctrl-Z) is nobody else's silence."""

    def __init__(self) -> None:
        self.now = 0.0
        self._last = time.monotonic()

    def look(self) -> None:
        """Go on."""
        now = time.monotonic()
        self.now += min(now - self._last, _STEP)
        self._last = now


def ask(client: Client, operation: str, **arguments: Any) -> Future[Any]:
    """Ask the scheduler, and do not wait for what it says.

    Raises:
        PressError: when there is none any more.
    """
    if client.scheduler is None or client.loop is None:
        raise PressError("the scheduler is gone")
    loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop  # type: ignore[attr-defined]
    return asyncio.run_coroutine_threadsafe(getattr(client.scheduler, operation)(**arguments), loop)


class Heartbeat:
    """What the scheduler last said of itself and its workers, and how long each has been silent by our own clock.

    Args:
        client: of the cluster.
        clock: the clock to go by.
        warn: called with what a user should know.

    Raises:
        PressError: when the scheduler gives no first answer.
    """

    def __init__(self, client: Client, clock: Clock, warn: Callable[[str], None]) -> None:
        self.workers: dict[str, dict[str, Any]] = {}  # as Dask describes them, by address
        self.mute: set[str] = set()  # workers that have been silent for too long
        self._client = client
        self._clock = clock
        self._warn = warn
        self._address = client.scheduler.address if client.scheduler else "the cluster"
        self._connected = self._answered = self._asked = clock.now
        self._last_seen: dict[str, float] = {}  # by worker: its last sign of life, by the scheduler's clock
        self._silence: dict[str, float] = {}  # by worker: seconds since, by ours
        self._names: dict[str, str] = {}
        self._told: set[str] = set()  # whose silence the user knows of; "" is the scheduler's
        self._question: Future[Any] | None = ask(client, "identity", n_workers=-1)
        try:
            self._question.result(timeout=_FIRST)
        except Exception as error:
            raise PressError(
                f"the scheduler at {self._address} says nothing of its workers ({type(error).__name__})"
            ) from error
        self.beat()

    def beat(self) -> None:
        """Take in an answer, if one has come, and ask again after a while.

        Raises:
            PressError: when the scheduler has been gone or silent for too long; it says what to do.
        """
        if self._client.status == "running":
            self._connected = self._clock.now
        elif self._client.status == "closed" or self._clock.now - self._connected > GONE_AFTER:
            raise self._given_up("is gone")
        if self._question is not None and self._question.done():
            if self._question.exception() is None:
                self._take(self._question.result()["workers"])
            self._question = None
        due = self._clock.now - self._asked >= _INTERVAL
        if self._question is None and due and self._client.status == "running":
            self._asked = self._clock.now
            self._question = ask(self._client, "identity", n_workers=-1)
        silence = self._clock.now - self._answered
        if self._silent("", f"the scheduler at {self._address}", silence, FROZEN_AFTER):
            raise self._given_up(f"has not answered for {FROZEN_AFTER:g} s")

    def _given_up(self, why: str) -> PressError:
        return PressError(
            f"the scheduler at {self._address} {why}; finished runs are stored. Start it again and run the same "
            "command: it goes on with what is missing"
        )

    def _take(self, workers: dict[str, dict[str, Any]]) -> None:
        # A scheduler that was frozen has heard of nobody meanwhile: an answer counts for the usual interval at most.
        passed = min(self._clock.now - self._answered, 2 * _INTERVAL)
        self._answered = self._clock.now
        self.workers = dict(workers)
        for address, worker in workers.items():
            unheard = self._last_seen.get(address) == worker["last_seen"]
            self._silence[address] = self._silence.get(address, 0.0) + passed if unheard else 0.0
            self._last_seen[address] = worker["last_seen"]
            self._names[address] = str(worker["name"])

    def name(self, address: str) -> str:
        """The name of a worker, or its address where it was given none."""
        return self._names.get(address, address)

    def gone(self, address: str) -> bool:
        """Whether a worker that was there is there no longer."""
        return address in self._names and address not in self.workers

    def fallen_silent(self) -> list[str]:
        """The workers that have now been silent for too long and were not a moment ago."""
        fallen = []
        for address in self.workers:
            name = f"the worker {self.name(address)}"
            if not self._silent(address, name, self._silence[address], MUTE_AFTER):
                self.mute.discard(address)
            elif address not in self.mute:
                self.mute.add(address)
                fallen.append(address)
        return fallen

    def _silent(self, who: str, name: str, seconds: float, most: float) -> bool:
        """Whether somebody has been silent for too long; the user is told before that."""
        if seconds < TOLD_AFTER:
            self._told.discard(who)
        elif who not in self._told:
            self._told.add(who)
            self._warn(f"no word from {name} for {seconds:.0f} s")
        return seconds >= most
