"""`results/<chapter>.json`: what was measured at a scale and put on record, with its provenance; committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kexue.press.project import PressError
from kexue.press.results.pooled import rows
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import State, Unit

VALUES_KEPT = 100  # replicates a record lists one by one; of more, their mean, interval and number say enough


def record_path(chapter: Chapter) -> Path:
    """Where the chapter's record lies."""
    return chapter.root / "results" / f"{chapter.slug}.json"


def read_record(chapter: Chapter) -> dict[str, Any]:
    """The chapter's record by profile; empty when there is none.

    Raises:
        PressError: when the file is no record.
    """
    path = record_path(chapter)
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise PressError(f"{path} is not valid JSON ({error}); freeze the chapter again") from error


def freeze(chapter: Chapter, units: Sequence[Unit], profile: str) -> Path:
    """Write the pooled claims of fresh runs, with their provenance, to the chapter's record.

    Raises:
        PressError: when a unit is not fresh: only what the present code measured goes on record.
    """
    behind = [f"{unit.name}: {unit.state}" for unit in units if unit.state != State.FRESH]
    if behind or not units:
        raise PressError(
            f"only fresh runs can be frozen; run kexue run {chapter.slug} --profile {profile} first "
            f"({'; '.join(behind) or 'nothing has run'})"
        )
    claims = rows(chapter, units, profile)
    for claim in claims:
        if claim["n"] > VALUES_KEPT:
            del claim["values"]
    record = read_record(chapter)
    record[profile] = {
        "code": units[0].fingerprint.code,
        "claims": claims,
        "provenance": [unit.run.record["provenance"] for unit in units if unit.run is not None],
    }
    path = record_path(chapter)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def frozen(chapter: Chapter, code: str) -> dict[str, Any] | None:
    """The record with, for each profile, whether it was measured with older code than `code`."""
    record = read_record(chapter)
    if not record:
        return None
    return {profile: {**entry, "older_code": entry["code"] != code} for profile, entry in record.items()}


def verdict_differences(chapter: Chapter, ledger: Sequence[dict[str, Any]], profile: str) -> list[str]:
    """The claims whose verdict is not the one on record at that profile, as sentences."""
    entry = read_record(chapter).get(profile)
    if entry is None or not any(claim["n"] for claim in ledger):
        return []
    then = {claim["id"]: claim["verdict"] for claim in entry["claims"]}
    found = [
        f"{claim['id']}: {claim['verdict']}, on record {then[claim['id']]}"
        for claim in ledger
        if claim["id"] in then and claim["verdict"] != then[claim["id"]]
    ]
    now = {claim["id"] for claim in ledger}
    found += [f"{claim['id']}: not on record" for claim in ledger if claim["id"] not in then]
    return found + [f"{name}: on record, no longer claimed" for name in then if name not in now]
