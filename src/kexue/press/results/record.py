"""`results/<chapter>.json`: what was measured at a scale and put on record, with its provenance; committed, and sealed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from kexue.claims import PROFILES
from kexue.press.project import PressError, write_text
from kexue.press.results.pooled import PooledRow, problems, rows
from kexue.press.results.sealed import read_sealed, sealed
from kexue.press.sources.chapter import Chapter
from kexue.press.store.plan import State, Unit

FOLDER = Path("results")
VALUES_KEPT = 100  # replicates a record lists one by one; of more, their mean, interval and number say enough
REMEDY = "restore it (git checkout) or freeze the chapter again"


class Host(TypedDict):
    """The machine of a run."""

    cpu: str
    cores: int | None
    gpu: str | None
    memory_gb: float
    system: str


class Provenance(TypedDict):
    """Where a run's numbers come from."""

    key: str
    profile: str
    seed: int
    parameters: dict[str, Any]
    device: str
    started: str
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    peak_gpu_mb: float
    threads: int
    versions: dict[str, str]
    data_read: dict[str, str]
    host: Host
    cell_seconds: NotRequired[list[float]]
    commit: str | None
    dirty: bool


class Recorded(TypedDict):
    """What is on record at one profile."""

    code: str
    claims: list[PooledRow]
    provenance: list[Provenance]


class Frozen(Recorded):
    """What is on record at one profile, as a page shows it."""

    older_code: bool  # whether older code than the present measured it


Profile = Annotated[str, Field(pattern=f"^({'|'.join(PROFILES)})$")]
SCHEMA = TypeAdapter(dict[Profile, Recorded])


def record_name(chapter: Chapter) -> Path:
    """Where the chapter's record lies in the book's folder."""
    return FOLDER / f"{chapter.slug}.json"


def read_record(root: Path, name: Path) -> dict[str, Recorded]:
    """A record by profile; empty when there is none.

    Args:
        root, name: the file, by its name in the book's folder.

    Raises:
        PressError: naming the file, what is wrong with it and what to do.
    """
    return read_sealed(root, name, SCHEMA.validate_json, REMEDY) if os.path.lexists(root / name) else {}


def freeze(
    chapter: Chapter, units: Sequence[Unit], profile: str, warn: Callable[[str], None] = lambda text: None
) -> Path:
    """Write the pooled claims of fresh runs, with their provenance, to the chapter's record, in one step.

    Args:
        chapter, units, profile: what to put on record.
        warn: is told that the record there was cannot be read; it is then written anew.

    Raises:
        PressError: when a unit is not fresh or a claim not judged: only what the present code measured goes on record.
    """
    behind = [f"{unit.name}: {unit.state}" for unit in units if unit.state != State.FRESH]
    if behind or not units:
        raise PressError(
            f"only fresh runs can be frozen; run kexue run {chapter.slug} --profile {profile} first "
            f"({'; '.join(behind) or 'nothing has run'})"
        )
    claims = rows(chapter, units, profile)
    if unjudged := problems(claims):
        raise PressError(f"{chapter.slug} cannot be frozen: {'; '.join(unjudged)}")
    for claim in claims:
        del claim["problem"]
        if claim["n"] > VALUES_KEPT:
            del claim["values"]
    try:
        record = read_record(chapter.root, record_name(chapter))
    except PressError as error:
        warn(f"{error}: written anew, with {profile} alone")
        record = {}
    record[str(profile)] = {
        "code": units[0].fingerprint.code,
        "claims": claims,
        "provenance": [unit.run.record["provenance"] for unit in units if unit.run is not None],
    }
    path = chapter.root / record_name(chapter)
    write_text(path, sealed(record, sort_keys=True))
    return path


def frozen(record: Mapping[str, Recorded], code: str) -> dict[str, Frozen]:
    """The record with, for each profile, whether it was measured with older code than `code`."""
    return {profile: {**entry, "older_code": entry["code"] != code} for profile, entry in record.items()}


def verdict_differences(
    record: Mapping[str, Recorded], ledger: Sequence[PooledRow], profile: str
) -> list[str]:
    """The claims whose verdict is not the one on record at that profile, as sentences."""
    entry = record.get(profile)
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


def orphans(root: Path, slugs: Iterable[str]) -> list[Path]:
    """The records of no chapter: what a chapter leaves behind that was renamed or deleted."""
    known = set(slugs)
    return [path for path in sorted((root / FOLDER).glob("*.json")) if path.stem not in known]
