"""An edition of the book: every chapter with its pooled claims and the state of its runs, ready to be set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kexue.press.results.pooled import represented, rows
from kexue.press.results.record import frozen, verdict_differences
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import State, plan, state_of
from kexue.press.store.store import Store


@dataclass(frozen=True)
class ChapterEdition:
    """One chapter as it is to be shown.

    Args:
        chapter: the chapter.
        profile: the profile shown.
        state: "fresh", "stale", "failed" or "never run".
        reasons: why it is not fresh, as sentences.
        notebook: the executed notebook of the first seed's last run, maybe stale; None if there is none.
        runs: provenance of each replicate's last run.
        seeds_wanted: how many replicates the profile takes.
        claims: the pooled ledger rows.
        frozen: the committed record by profile, each with `older_code`; None if there is none.
        differences: claims whose verdict is not the one on record.
    """

    chapter: Chapter
    profile: str
    state: str
    reasons: tuple[str, ...]
    notebook: Any
    runs: tuple[dict[str, Any], ...]
    seeds_wanted: int
    claims: tuple[dict[str, Any], ...]
    frozen: dict[str, Any] | None
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Edition:
    """The book: its folder and its chapters in order."""

    root: Path
    chapters: tuple[ChapterEdition, ...]


def edition(
    root: Path,
    chapters: Iterable[Chapter],
    store: Store,
    *,
    profile: str,
    device: str,
    seeds: tuple[int, ...] | None = None,
) -> Edition:
    """Gather what the store and the records hold of each chapter at `profile`."""
    found = []
    index = cache(store.index)
    for chapter in chapters:
        units = plan(store, [chapter], profile=profile, device=device, seeds=seeds, index=index)
        ledger = rows(chapter, units, profile)
        last = [unit.last for unit in represented(units) if unit.last is not None]
        reasons: dict[str, list[str]] = {}  # by reason, the seeds it holds for
        for unit in units:
            for reason in unit.reasons():
                reasons.setdefault(reason, []).append(str(unit.seed))
        every = len([unit for unit in units if unit.state != State.FRESH])
        found.append(
            ChapterEdition(
                chapter=chapter,
                profile=profile,
                state=state_of(units),
                reasons=tuple(
                    reason if len(on) == every == len(units) else f"{reason} (seed {', '.join(on)})"
                    for reason, on in reasons.items()
                ),
                notebook=last[0].notebook() if last else None,
                runs=tuple(run.record["provenance"] for run in last),
                seeds_wanted=len(units),
                claims=tuple(ledger),
                frozen=frozen(chapter, units[0].fingerprint.code) if units else None,
                differences=tuple(verdict_differences(chapter, ledger, profile)),
            )
        )
    return Edition(root, tuple(found))
