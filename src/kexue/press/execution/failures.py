"""What happened to a run that failed, by file and line of the chapter."""

from __future__ import annotations

import re
from typing import Any

from kexue.press.execution.notebook import ordinal_of
from kexue.press.store.failure import Failure, FailureKind
from kexue.press.store.plan import Unit

TOLD = 4000  # characters of a message that are told; one may be an array, printed whole
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(r"Cell In\[\d+\], line (\d+)")
_MAGIC = re.compile(r"`(%+\S+)`")


class RunFailed(RuntimeError):
    """A run did not end well; `failure` holds what is known."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def incomplete(message: str) -> RunFailed:
    """The failure of a run whose cells all ran, but which cannot be put on record."""
    return RunFailed(Failure(FailureKind.RECORD, message))


def failed_at(
    unit: Unit,
    notebook: Any,
    index: int,
    kind: FailureKind,
    message: str,
    traceback: list[str] | None = None,
    exit_code: int | None = None,
) -> RunFailed:
    """The failure of the notebook's cell `index`; the line is the one that was running where a traceback tells it."""
    ordinal = ordinal_of(notebook.cells, index)
    cells = unit.chapter.code_cells
    line = 0
    if 1 <= ordinal <= len(cells):
        cell = cells[ordinal - 1]
        line = cell.line + _line_within(cell.source, traceback or [], message)
    where = f"{unit.chapter.path.relative_to(unit.chapter.root)}:{line}"
    told = f"{where}: code cell {ordinal} of {len(cells)} {shortened(message)}"
    parts = tuple(map(str, traceback or ()))
    return RunFailed(Failure(kind, told, cell=ordinal, line=line, exit_code=exit_code, traceback=parts))


def shortened(message: str) -> str:
    """A message of which no more than `TOLD` characters are told."""
    return message if len(message) <= TOLD else f"{message[:TOLD]} … ({len(message):,} characters)"


def _line_within(source: str, traceback: list[str], message: str) -> int:
    """How far below a cell's first line it failed: said by a traceback, or found by the name of the magic it lacks."""
    said = _LINE.search(_COLOURS.sub("", "\n".join(traceback)))
    if said:
        return int(said[1]) - 1
    magic = _MAGIC.search(message)
    lines = source.split("\n")
    return next((n for n, text in enumerate(lines) if magic and magic[1] in text), 0)


def check_executed(unit: Unit, executed: Any) -> None:
    """Success is read off the cells: each has run, none has raised, whatever papermill's metadata say.

    Raises:
        RunFailed: naming the first that has not, or has.
    """
    for index, cell in enumerate(executed.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                message = f"raised {output.ename}: {output.evalue}"
                raise failed_at(unit, executed, index, FailureKind.RAISED, message, output.traceback)
        if cell.execution_count is None:
            raise failed_at(unit, executed, index, FailureKind.NOT_EXECUTED, "was never executed")
