"""What is stale, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import islice, product
from typing import Any

from kexue.press.sources.chapter import Chapter
from kexue.press.store.failure import Failure
from kexue.press.store.fingerprint import Fingerprint, differences, fingerprint
from kexue.press.store.index import Index
from kexue.press.store.store import Run, Store

_COMPARED = 20  # stored runs of a unit, the newest ones, among which the nearest is looked for


class State(StrEnum):
    """How the stored runs of a unit or a chapter stand to its present code."""

    FRESH = "fresh"
    STALE = "stale"
    FAILED = "failed"
    NEVER = "never run"


@dataclass(frozen=True)
class Unit:
    """The unit of work (chapter, profile, seed) on a device class, with what the store holds of it.

    Args:
        chapter, profile, seed, device: what to run; the device is "cpu" or "cuda".
        settings: entries of the chapter's `settings` that the command line changes (`--set`).
        fingerprint: what the run would depend on now.
        run: the stored run of this very fingerprint, or None.
        last: that run, or the last one of the same unit whatever its code was.
        failure: the last failure of this fingerprint, if nothing succeeded since.
        damaged: whether a run of this fingerprint is stored that does not match its own digests.
        index: where there is no run of this fingerprint: the stored runs, to find the one that is nearest.
    """

    chapter: Chapter
    profile: str
    seed: int
    device: str
    settings: dict[str, Any]
    fingerprint: Fingerprint
    run: Run | None
    last: Run | None
    failure: Failure | None
    damaged: bool
    index: Index | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> str:
        """The key of the run."""
        return self.fingerprint.key

    @property
    def name(self) -> str:
        """The unit in a word, as progress and errors call it."""
        changed = "".join(f" · {name} = {value}" for name, value in self.settings.items())
        return f"{self.chapter.slug} · {self.profile}{changed} · seed {self.seed}"

    @property
    def state(self) -> State:
        """Whether the unit is fresh, stale, failed or never run."""
        if self.run is not None:
            return State.FRESH
        if self.failure is not None:
            return State.FAILED
        return State.STALE if self.last is not None or self.damaged else State.NEVER

    def reasons(self) -> list[str]:
        """Why the unit is not fresh, as sentences; empty when it is.

        It is compared with the stored run that differs in the fewest parts: after an edit and back again that is not
        the last one.
        """
        if self.run is not None:
            return []
        found = [f"failed: {self.failure.message}"] if self.failure is not None else []
        if self.damaged:
            return [*found, "the stored run is damaged: it does not match its own digests"]
        if self.last is None:
            return found or ["never run"]
        runs = self.index.runs(*self._of) if self.index is not None else iter((self.last,))
        stored = [run.fingerprint for run in islice(runs, _COMPARED)] or [self.last.fingerprint]
        nearest = min(stored, key=self.fingerprint.distance)
        return found + differences(self.chapter, nearest, self.fingerprint)

    @property
    def _of(self) -> tuple[str, str, int, dict[str, Any]]:
        return self.chapter.slug, self.profile, self.seed, self.settings


def device_class(chapter: Chapter, profile: str, wanted: str) -> str:
    """The device class of a run: "auto" is "cuda" where the chapter's profile asks for a GPU, else "cpu".

    It does not depend on the machine: what was measured on a GPU elsewhere is found again here.

    Raises:
        ValueError: for anything but auto, cpu, cuda.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda; got {wanted!r}")
    if wanted == "auto":
        return "cuda" if chapter.need("gpus", profile) else "cpu"
    return wanted


def unit(
    store: Store,
    chapter: Chapter,
    *,
    profile: str,
    seed: int,
    device: str,
    settings: Mapping[str, Any] | None = None,
    index: Callable[[], Index] | None = None,
) -> Unit:
    """One unit with what the store holds of it.

    Args:
        store: where results lie.
        chapter: the chapter.
        profile: "smoke", "quick" or "full".
        seed: the seed.
        device: "cpu" or "cuda".
        settings: entries of the chapter's `settings` that are changed.
        index: gives the store's index, which who asks for many units reads once; None: it is read here.
    """
    changed = dict(settings or {})
    now = fingerprint(chapter, profile=profile, seed=seed, device=device, settings=changed)
    run = store.get(now.key)
    others = (index or store.index)() if run is None else None
    last = next(others.runs(chapter.slug, profile, seed, changed), None) if others is not None else run
    return Unit(
        chapter=chapter,
        profile=profile,
        seed=seed,
        device=device,
        settings=changed,
        fingerprint=now,
        run=run,
        last=last,
        failure=None if run else store.failure(now.key),
        damaged=run is None and store.damaged(now.key),
        index=others,
    )


def plan(
    store: Store,
    chapters: Iterable[Chapter],
    *,
    profile: str,
    device: str,
    seeds: tuple[int, ...] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    index: Callable[[], Index] | None = None,
) -> list[Unit]:
    """The units of the chapters that have `profile`, with as many seeds as each asks for unless `seeds` names them.

    Args:
        store: where results lie.
        chapters: the chapters.
        profile: "smoke", "quick" or "full".
        device: "auto", "cpu" or "cuda" (see `device_class`).
        seeds: the seeds, or None.
        grid: values to try by name of a chapter's setting; every combination is run.
        index: gives the store's index (see `unit`); None: it is read here, once, if anything is not fresh.
    """
    index = index or cache(store.index)  # of a large store, reading it takes longer than all the rest
    points = [dict(zip(grid or (), values, strict=True)) for values in product(*(grid or {}).values())]
    return [
        unit(
            store,
            chapter,
            profile=profile,
            seed=seed,
            device=device_class(chapter, profile, device),
            settings=point,
            index=index,
        )
        for chapter in chapters
        if profile in chapter.profiles
        for point in points
        for seed in (seeds if seeds is not None else range(chapter.seeds(profile)))
    ]


def state_of(units: Iterable[Unit]) -> State:
    """One state for several units: the worst one a reader should know of."""
    states = {unit.state for unit in units}
    if states == {State.FRESH}:
        return State.FRESH
    if State.FAILED in states:
        return State.FAILED
    return State.STALE if states & {State.STALE, State.FRESH} else State.NEVER


def cost_of(units: Iterable[Unit]) -> dict[str, float | None]:
    """What the last runs of the units took: wall and CPU seconds in all, the largest main and GPU memory in MB."""
    runs = [unit.last.record["provenance"] for unit in units if unit.last is not None]
    if not runs:
        return dict.fromkeys(("seconds", "cpu_seconds", "peak_rss_mb", "peak_gpu_mb"))
    return {
        "seconds": round(sum(run.get("seconds", 0) for run in runs), 3),
        "cpu_seconds": round(sum(run.get("cpu_seconds", 0) for run in runs), 3),
        "peak_rss_mb": max(run.get("peak_rss_mb", 0) for run in runs),
        "peak_gpu_mb": max(run.get("peak_gpu_mb", 0) for run in runs),
    }
