"""What is stale, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexue.press.catalogue import Chapter
from kexue.press.fingerprint import Fingerprint, differences, fingerprint
from kexue.press.store import Run, Store

FRESH, STALE, FAILED, NEVER = "fresh", "stale", "failed", "never run"


@dataclass(frozen=True)
class Unit:
    """The unit of work (chapter, profile, seed) on a device class, with what the store holds of it.

    Args:
        chapter, profile, seed, device: what to run; the device is resolved.
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
        return f"{self.chapter.slug} · {self.profile} · seed {self.seed}"

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


def resolve_device(device: str) -> str:
    """The device class "auto" stands for: "cuda" where torch sees a device, else "cpu".

    Raises:
        ValueError: for anything but auto, cpu, cuda, or cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda; got {device!r}")
    if device == "cpu" or (device == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"  # without a driver there is nothing to ask torch, whose import costs seconds
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ValueError("device is cuda, but torch sees no CUDA device here; use --device cpu")
    return "cpu"


def unit(store: Store, chapter: Chapter, *, profile: str, seed: int, device: str) -> Unit:
    """One unit with what the store holds of it."""
    now = fingerprint(chapter, profile=profile, seed=seed, device=device)
    run = store.get(now.key)
    return Unit(
        chapter=chapter,
        profile=profile,
        seed=seed,
        device=device,
        fingerprint=now,
        run=run,
        last=run or store.latest(chapter.slug, profile, seed),
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
) -> list[Unit]:
    """The units of the chapters that have `profile`, with as many seeds as each asks for unless `seeds` names them."""
    return [
        unit(store, chapter, profile=profile, seed=seed, device=device)
        for chapter in chapters
        if profile in chapter.profiles
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
