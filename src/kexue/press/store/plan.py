"""What is stale, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from kexue.press.sources.chapter import Chapter
from kexue.press.store.fingerprint import Fingerprint, differences, fingerprint
from kexue.press.store.store import Run, Store

FRESH, STALE, FAILED, NEVER = "fresh", "stale", "failed", "never run"


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
    """

    chapter: Chapter
    profile: str
    seed: int
    device: str
    settings: dict[str, Any]
    fingerprint: Fingerprint
    run: Run | None
    last: Run | None
    failure: dict[str, Any] | None
    damaged: bool

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
    def state(self) -> str:
        """Whether the unit is fresh, stale, failed or never run."""
        if self.run is not None:
            return FRESH
        if self.failure is not None:
            return FAILED
        return STALE if self.last is not None or self.damaged else NEVER

    def reasons(self) -> list[str]:
        """Why the unit is not fresh, as sentences; empty when it is."""
        if self.run is not None:
            return []
        found = [f"failed: {self.failure['message']}"] if self.failure is not None else []
        if self.damaged:
            return [*found, "the stored run is damaged: it does not match its own digests"]
        if self.last is None:
            return found or ["never run"]
        return found + differences(self.chapter, self.last.fingerprint, self.fingerprint)


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
) -> Unit:
    """One unit with what the store holds of it."""
    changed = dict(settings or {})
    now = fingerprint(chapter, profile=profile, seed=seed, device=device, settings=changed)
    run = store.get(now.key)
    return Unit(
        chapter=chapter,
        profile=profile,
        seed=seed,
        device=device,
        settings=changed,
        fingerprint=now,
        run=run,
        last=run or store.latest(chapter.slug, profile, seed, changed),
        failure=None if run else store.failure(now.key),
        damaged=run is None and store.damaged(now.key),
    )


def plan(
    store: Store,
    chapters: Iterable[Chapter],
    *,
    profile: str,
    device: str,
    seeds: tuple[int, ...] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> list[Unit]:
    """The units of the chapters that have `profile`, with as many seeds as each asks for unless `seeds` names them.

    Args:
        store: where results lie.
        chapters: the chapters.
        profile: "smoke", "quick" or "full".
        device: "auto", "cpu" or "cuda" (see `device_class`).
        seeds: the seeds, or None.
        grid: values to try by name of a chapter's setting; every combination is run.
    """
    points = [dict(zip(grid or (), values, strict=True)) for values in product(*(grid or {}).values())]
    return [
        unit(
            store,
            chapter,
            profile=profile,
            seed=seed,
            device=device_class(chapter, profile, device),
            settings=point,
        )
        for chapter in chapters
        if profile in chapter.profiles
        for point in points
        for seed in (seeds if seeds is not None else range(chapter.seeds(profile)))
    ]


def state_of(units: Iterable[Unit]) -> str:
    """One state for several units: the worst one a reader should know of."""
    states = {unit.state for unit in units}
    if states == {FRESH}:
        return FRESH
    if FAILED in states:
        return FAILED
    return STALE if states & {STALE, FRESH} else NEVER


def cost_of(units: Iterable[Unit]) -> dict[str, float | None]:
    """What the last runs of the units took: wall and CPU seconds in all, the largest main and GPU memory in MB."""
    runs = [unit.last.record["provenance"] for unit in units if unit.last is not None]
    if not runs:
        return dict.fromkeys(("seconds", "cpu_seconds", "peak_rss_mb", "peak_gpu_mb"))
    return {
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        "cpu_seconds": round(sum(run["cpu_seconds"] for run in runs), 3),
        "peak_rss_mb": max(run["peak_rss_mb"] for run in runs),
        "peak_gpu_mb": max(run["peak_gpu_mb"] for run in runs),
    }
