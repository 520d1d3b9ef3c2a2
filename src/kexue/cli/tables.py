"""What the command line shows: live progress and tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kexue.claims.display import MARKS, measured
from kexue.claims.pool import tally
from kexue.press.cluster.task import Event, EventName, Outcome, OutcomeStatus
from kexue.press.results.pooled import PooledRow
from kexue.press.results.snapshot import Edition
from kexue.press.results.sweeps import SweepRow
from kexue.press.store.plan import Unit

_STYLES = {
    "fresh": "green",
    "done": "green",
    "reused": "green",
    "stale": "yellow",
    "failed": "bold red",
    "never run": "dim",
    "not runnable": "yellow",
    "reproduced": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "untested": "dim",
}

# A name may hold brackets or colons that rich would take for its own.
_AS_TYPED: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}


def _styled(text: str) -> Text:
    return Text(text, style=_STYLES.get(text, ""))


def show(table: Table) -> None:
    """Print a table as wide as the terminal; into a pipe, as wide as its content."""
    console = Console(**_AS_TYPED)
    if not console.is_terminal:
        console = Console(width=160, **_AS_TYPED)
    console.print(table)


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def _megabytes(value: float | None) -> str:
    return f"{value:,.0f} MB" if value else "–"


def chapters_table(rows: Iterable[dict[str, Any]]) -> Table:
    """The chapters with their states."""
    table = Table(
        "chapter", "part", "title", "profiles", "claims", "state", "runs", "last took", "CPU", "memory", "GPU"
    )
    for row in rows:
        table.add_row(
            row["chapter"],
            row["part"],
            f"{row['title']}\n{row['title_zh']}",
            " ".join(row["profiles"]),
            str(row["claims"]),
            _styled(row["state"]),
            row["runs"],
            _seconds(row["seconds"]),
            _seconds(row["cpu_seconds"]),
            _megabytes(row["peak_rss_mb"]),
            _megabytes(row["peak_gpu_mb"]),
        )
    return table


def grid_table(rows: Iterable[SweepRow]) -> Table:
    """Claims by changed settings."""
    table = Table("chapter", "settings", "claim", "verdict", "measured", "expected", "seeds")
    for row in rows:
        table.add_row(
            row["chapter"],
            ", ".join(f"{name} = {value}" for name, value in row["settings"].items()),
            row["id"],
            _styled(row["verdict"]),
            measured(row),
            f"{row['quantity']} {row['expect']}",
            ", ".join(map(str, row["seeds"])),
        )
    return table


def _tally(ledger: Iterable[PooledRow]) -> Text:
    ledger = list(ledger)
    parts = [
        Text(f"{MARKS[verdict]} {count} {verdict}", style=_STYLES[verdict])
        for verdict, count in tally(ledger).items()
        if count
    ]
    if any(row["stale"] for row in ledger):
        parts.append(Text("(of older code)", style="yellow"))
    return Text("  ").join(parts)


def runs_table(outcomes: Sequence[Outcome], edition: Edition) -> Table:
    """How each chapter's runs ended, and its verdicts pooled over the seeds."""
    table = Table("chapter", "seeds", "state", "took", "peak memory", "verdicts", "differs from record")
    for chapter in edition.chapters:
        mine = [outcome for outcome in outcomes if outcome.unit.chapter.slug == chapter.chapter.slug]
        if not mine:
            continue
        failed = [
            outcome
            for outcome in mine
            if outcome.status in (OutcomeStatus.FAILED, OutcomeStatus.NOT_RUNNABLE)
        ]
        peaks = [run["peak_rss_mb"] for run in chapter.runs]
        table.add_row(
            chapter.chapter.slug,
            f"{len(mine) - len(failed)} of {len(mine)}",
            _styled(
                failed[0].status
                if failed
                else mine[0].status
                if len({o.status for o in mine}) == 1
                else "done"
            ),
            _seconds(sum(outcome.seconds or 0.0 for outcome in mine)),
            f"{max(peaks)} MB" if peaks else "–",
            _tally(chapter.claims),
            str(len(chapter.differences) or ""),
        )
    return table


def claims_table(ledger: Iterable[PooledRow]) -> Table:
    """The ledger."""
    table = Table("chapter", "claim", "verdict", "measured", "expected", "source")
    for row in ledger:
        table.add_row(
            row["chapter"],
            Text(row["id"], style="bold") + Text(f"\n{row['statement']}", style="not bold"),
            Text(f"{MARKS[row['verdict']]} {row['verdict']}", style=_STYLES[row["verdict"]])
            + Text("\nstale" if row["stale"] else "", style="yellow"),
            row.get("problem") or measured(row),
            f"{row['quantity']} {row['expect']}",
            row["source"],
        )
    return table


def doctor_table(report: Sequence[dict[str, Any]]) -> Table:
    """What the machine can run."""
    table = Table("what", "", "found")
    for entry in report:
        table.add_row(
            entry["what"], Text("✓", "green") if entry["ok"] else Text("✗", "yellow"), entry["found"]
        )
    return table


class Progress:
    """A line a running unit: cell i of n, and how long it is likely to take yet; plain lines where there is no terminal.

    Args:
        units: what is about to run.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._console = Console(stderr=True, **_AS_TYPED)
        self._live: Live | None = None
        self._running: dict[str, dict[str, Any]] = {}
        self._total = len(units)
        self._ended = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._table, console=self._console, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, event: Event) -> None:
        """Take in an event."""
        name = event.unit.name
        if event.name is EventName.STARTED:
            expected = event.unit.last.seconds if event.unit.last else None
            self._running[name] = {"since": time.monotonic(), "expected": expected, "where": "starting"}
            where = f"on {event.where}" if event.where else "here"
            before = f" (took {_seconds(expected)} last time)" if expected else ""
            self._line(f"start  {name}, {where}{before}")
        elif event.name is EventName.WAITING:
            where = "waiting for another run of the same code"
            self._running[name] = {"since": time.monotonic(), "expected": None, "where": where}
            self._line(f"wait   {name}: another run of the same code is going")
        elif event.name is EventName.CELL:
            self._running[name]["where"] = f"cell {event.cell} of {event.cells}"
        elif event.name in (EventName.DONE, EventName.FAILED):
            began = self._running.pop(name, None)
            seconds = time.monotonic() - began["since"] if began else 0.0
            self._ended += 1
            self._line(f"{event.name:<6} {name} ({seconds:.1f} s; {self._ended} of {self._total})")

    def _line(self, text: str) -> None:
        if self._live is None:
            self._console.print(text, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, facts in self._running.items():
            elapsed = time.monotonic() - facts["since"]
            left = ""
            if facts["expected"]:
                left = f"about {_seconds(max(0.0, facts['expected'] - elapsed))} left"
            table.add_row(name, facts["where"], _seconds(elapsed), left)
        table.add_row(f"{self._ended} of {self._total} done", "", "", "")
        return table
