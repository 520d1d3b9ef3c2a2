"""Writes what a benchmark has measured to `benchmarks/results/`, from where the book's Speed page shows it."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kexue.press.project import cpu_name
from kexue.press.results.benchmarks import Value, write_benchmark

ROOT = Path(__file__).parents[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark's command line the two options that all of them have."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--record", action="store_true", help="keep the figures for the book's Speed page")
    either.add_argument("--tiny", action="store_true", help="seconds of work: only to see that it runs")


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
