"""Recorded benchmarks: `benchmarks/results/*.json`, one file a benchmark, as its script has written it.

{"benchmark": "transport", "machine": "AMD EPYC, 2 cores", "when": "2026-01-02T03:04:05+00:00", "commit": "…",
 "rows": [{"n": 1024, "ours, s": 0.12, "scipy, s": 0.46}, …]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kexue.press.project import PressError

FOLDER = Path("benchmarks") / "results"
_WORDS = ("benchmark", "machine", "when", "commit")


def benchmarks(root: Path) -> list[dict[str, Any]]:
    """The recorded benchmarks by name.

    Args:
        root: the book's folder.

    Returns:
        For each what its file holds; the rows as `columns` and `rows` of equal length, None where a row lacks a column.

    Raises:
        PressError: naming the file and what is wrong with it.
    """
    return [_read(path, path.relative_to(root)) for path in sorted((root / FOLDER).glob("*.json"))]


def _read(path: Path, name: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PressError(f"{name}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise PressError(f"{name}: must hold an object, got {type(found).__name__}")
    for key in _WORDS:
        if not isinstance(found.get(key), str) or not found[key]:
            raise PressError(f"{name}: {key!r} must be a text, got {found.get(key)!r}")
    rows = found.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        raise PressError(
            f"{name}: 'rows' must be a list of objects, one a row of the table, got {rows!r:.80}"
        )
    for row in rows:
        for key, value in row.items():
            if value is not None and not isinstance(value, bool | int | float | str):
                raise PressError(
                    f"{name}: {key!r} must be a number, a text, true, false or null; got {value!r}"
                )
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return {
        **{key: found[key] for key in _WORDS},
        "columns": columns,
        "rows": [[row.get(key) for key in columns] for row in rows],
    }
