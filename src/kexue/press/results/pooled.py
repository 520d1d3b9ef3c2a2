"""The pooled rows of a chapter: every claim with its replicates over the runs that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired

from kexue.claims import Claim, Measurement, pool
from kexue.claims.ledger import row
from kexue.claims.row import Row
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import Unit


class PooledRow(Row):
    """A claim of a chapter, pooled over its runs, one a seed."""

    statement_zh: str
    chapter: str
    seeds: list[int]  # that measured it
    seeds_wanted: int
    stale: bool  # whether older code measured it
    run: list[str]  # the key of each run
    problem: NotRequired[str]  # why it could not be judged, "" if it was; not on record


def rows(chapter: Chapter, units: Sequence[Unit], profile: str) -> list[PooledRow]:
    """The rows of one chapter at one profile, one a claim, pooled over its units (one a seed).

    Only runs of one code are pooled: the fresh ones if there are any, else the newest of those there are, and the
    row then says `stale`. Claims of an older run that the chapter no longer makes are not shown; claims it makes
    now and that no run measured are untested, and so are those whose runs cannot be pooled, with their `problem`.
    """
    shown = represented(units)
    records = [(unit, unit.last.record) for unit in shown if unit.last is not None]
    stale = any(unit.run is None for unit in shown)
    return [_row(chapter, claim, records, profile, len(units), stale) for claim in chapter.claims]


def _row(
    chapter: Chapter,
    claim: Claim,
    records: Iterable[tuple[Unit, dict[str, Any]]],
    profile: str,
    wanted: int,
    stale: bool,
) -> PooledRow:
    measured = _measurements(claim, records)
    problem = ""
    try:
        pooled = pool(claim, [measurement for _, measurement in measured])
    except ValueError as error:  # the runs do not fit together
        pooled, problem = pool(claim, []), f"not judged: {error}"
    return {
        **row(claim, pooled, profile),
        "statement_zh": chapter.statements_zh.get(claim.id, ""),
        "chapter": chapter.slug,
        "seeds": [unit.seed for unit, _ in measured],
        "seeds_wanted": wanted,
        "stale": stale,
        "run": [unit.last.key for unit, _ in measured if unit.last is not None],
        "problem": problem,
    }


def problems(ledger: Iterable[PooledRow]) -> list[str]:
    """Which claims could not be judged, and why, as sentences."""
    return [f"{entry['id']}: {entry['problem']}" for entry in ledger if entry["problem"]]


def represented(units: Sequence[Unit]) -> list[Unit]:
    """The units whose runs stand for a chapter: all of one code, the present one if any run is of it."""
    fresh = [unit for unit in units if unit.run is not None]
    if fresh:
        return fresh
    old = [
        (unit.last.manifest.order, unit.last.fingerprint.code, unit)
        for unit in units
        if unit.last is not None
    ]
    if not old:
        return []
    _, newest, _ = max(old, key=lambda entry: entry[0])
    return [unit for _, code, unit in old if code == newest]


def _measurements(
    claim: Claim, records: Iterable[tuple[Unit, dict[str, Any]]]
) -> list[tuple[Unit, Measurement]]:
    """What each run measured for this claim, where the claim was then what it is now (same unit of measurement)."""
    found = []
    for unit, record in records:
        then = next((c for c in record["claims"] if c["id"] == claim.id), None)
        if then is None or (then["unit"], then["over"]) != (claim.unit, claim.over):
            continue
        found += [(unit, Measurement.from_record(m)) for m in record["measurements"] if m["id"] == claim.id]
    return found
