"""An edition of the book: every chapter with its pooled claims and the state of its runs, ready to be set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kexue.press.project import PressError
from kexue.press.results.pooled import PooledRow, problems, represented, rows
from kexue.press.results.record import Frozen, Recorded, frozen, read_record, record_name, verdict_differences
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import State, Unit, plan, state_of
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
        claims: the pooled rows.
        frozen: the committed record by profile.
        differences: claims whose verdict is not the one on record.
        problems: what is wrong with the record, and which claims could not be judged.
    """

    chapter: Chapter
    profile: str
    state: str
    reasons: tuple[str, ...]
    notebook: Any
    runs: tuple[dict[str, Any], ...]
    seeds_wanted: int
    claims: tuple[PooledRow, ...]
    frozen: dict[str, Frozen]
    differences: tuple[str, ...]
    problems: tuple[str, ...] = ()


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
        record, wrong = _record(chapter)
        found.append(
            ChapterEdition(
                chapter=chapter,
                profile=profile,
                state=state_of(units),
                reasons=_reasons(units),
                notebook=last[0].notebook() if last else None,
                runs=tuple(run.record["provenance"] for run in last),
                seeds_wanted=len(units),
                claims=tuple(ledger),
                frozen=frozen(record, units[0].fingerprint.code) if units else {},
                differences=tuple(verdict_differences(record, ledger, profile)),
                problems=(*wrong, *problems(ledger)),
            )
        )
    return Edition(root, tuple(found))


def _record(chapter: Chapter) -> tuple[dict[str, Recorded], list[str]]:
    """The chapter's record, or what is wrong with it: that hides neither its runs nor another chapter."""
    try:
        return read_record(chapter.root, record_name(chapter)), []
    except PressError as error:
        return {}, [str(error)]


def _reasons(units: Sequence[Unit]) -> tuple[str, ...]:
    """Why the units are not fresh, each reason once, with the seeds it holds for where it does not hold for all."""
    seeds: dict[str, list[str]] = {}
    for unit in units:
        for reason in unit.reasons():
            seeds.setdefault(reason, []).append(str(unit.seed))
    behind = len([unit for unit in units if unit.state != State.FRESH])
    return tuple(
        reason if len(on) == behind == len(units) else f"{reason} (seed {', '.join(on)})"
        for reason, on in seeds.items()
    )
