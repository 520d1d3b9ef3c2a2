"""Writes what a benchmark has measured to `benchmarks/results/`, from where the book's Speed page shows it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kexue.press.project import cpu_name
from kexue.press.results.benchmarks import Value, write_benchmark

ROOT = Path(__file__).parents[1]


def record(benchmark: str, rows: Sequence[dict[str, Value]]) -> Path:
    """Write the rows of a benchmark, with the machine, the time and the commit they are of.

    Args:
        benchmark: its name, that of its script, and which part of it.
        rows: one mapping a row of the table, all with the same keys.

    Raises:
        ValueError: when the rows have different keys.
    """
    if len({tuple(row) for row in rows}) > 1:
        raise ValueError(f"rows must all have the same keys, got {sorted({tuple(row) for row in rows})}")
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True
    )
    return write_benchmark(
        ROOT,
        {
            "benchmark": benchmark,
            "machine": f"{cpu_name()}, {os.cpu_count()} cores",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": asked.stdout.strip(),
            "rows": list(rows),
        },
    )
