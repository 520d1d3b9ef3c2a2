"""Recorded benchmarks: `benchmarks/results/*.json`, one sealed file a benchmark, as its script has written it.

{"benchmark": "transport", "machine": "AMD EPYC, 2 cores", "when": "2026-01-02T03:04:05+00:00", "commit": "…",
 "rows": [{"n": 1024, "ours, s": 0.12, "scipy, s": 0.46}, …], "sha256": "…"}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Len
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from kexue.press.project import PressError, write_text
from kexue.press.results.sealed import read_sealed, sealed

FOLDER = Path("benchmarks") / "results"
REMEDY = "restore it (git checkout) or run the benchmark again with --record"

Value = bool | int | float | str | None
Text = Annotated[str, Len(1)]


class Recorded(TypedDict):
    """A benchmark as its file holds it."""

    benchmark: Text
    machine: Text
    when: Text
    commit: Text
    rows: Annotated[list[Annotated[dict[str, Value], Len(1)]], Len(1)]


class Benchmark(TypedDict):
    """A benchmark as a table: rows of equal length, None where a row lacks a column."""

    benchmark: str
    machine: str
    when: str
    commit: str
    columns: list[str]
    rows: list[list[Value]]


SCHEMA = TypeAdapter(Recorded)


def write_benchmark(root: Path, recorded: Recorded) -> Path:
    """Write a benchmark's file."""
    path = root / FOLDER / f"{recorded['benchmark'].replace(' ', '_')}.json"
    write_text(path, sealed(recorded))
    return path


def benchmarks(root: Path) -> list[Benchmark]:
    """The recorded benchmarks by name, but for those that cannot be read (see `benchmark_problems`).

    Args:
        root: the book's folder.
    """
    return _read(root)[0]


def benchmark_problems(root: Path) -> list[str]:
    """Which recorded benchmarks cannot be read, and what is wrong with them, as sentences."""
    return _read(root)[1]


def _read(root: Path) -> tuple[list[Benchmark], list[str]]:
    found, problems = [], []
    for path in sorted((root / FOLDER).glob("*.json")):
        try:
            found.append(_table(read_sealed(root, path.relative_to(root), SCHEMA.validate_json, REMEDY)))
        except PressError as error:
            problems.append(str(error))
    return found, problems


def _table(recorded: Recorded) -> Benchmark:
    columns = list(dict.fromkeys(key for row in recorded["rows"] for key in row))
    return {
        "benchmark": recorded["benchmark"],
        "machine": recorded["machine"],
        "when": recorded["when"],
        "commit": recorded["commit"],
        "columns": columns,
        "rows": [[row.get(key) for key in columns] for row in recorded["rows"]],
    }
