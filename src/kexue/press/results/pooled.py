"""The pooled ledger of a chapter: every claim with its replicates over the runs that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kexue.claims import Claim, Measurement, pool
from kexue.claims.ledger import row
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import Unit


def rows(chapter: Chapter, units: Sequence[Unit], profile: str) -> list[dict[str, Any]]:
    """The ledger rows of one chapter at one profile, pooled over its units (one a seed).

    Only runs of one code are pooled: the fresh ones if there are any, else the newest of those there are, and the
    row then says `stale`. Claims of an older run that the chapter no longer makes are not shown; claims it makes
    now and that no run measured are untested.

    Returns:
        One mapping a claim: chapter, id, statement, statement_zh, source, kind, quantity, expect, expect_low,
        expect_high, unit, values, mean, interval, n, over, scale, verdict, profile, seeds, seeds_wanted, stale, run.
    """
    shown = represented(units)
    records = [(unit, unit.last.record) for unit in shown if unit.last is not None]
    found = []
    for claim in chapter.claims:
        measured = _measurements(claim, records)
        found.append(
            {
                "chapter": chapter.slug,
                **row(claim, pool(claim, [measurement for _, measurement in measured]), profile),
                "seeds": [unit.seed for unit, _ in measured],
                "seeds_wanted": len(units),
                "stale": any(unit.run is None for unit in shown),
                "run": [unit.last.key for unit, _ in measured if unit.last is not None],
            }
        )
    return found


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
