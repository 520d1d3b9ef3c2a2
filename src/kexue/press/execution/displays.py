"""What a reader sees of a run: the executed notebook as it is stored, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

from kexue.press.execution.failures import failed_at
from kexue.press.execution.notebook import is_chapters
from kexue.press.execution.paths import MachinePaths
from kexue.press.store.failure import FailureKind
from kexue.press.store.plan import Unit

TEXTS = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
SHOWN = frozenset({*TEXTS, "image/png", "image/jpeg"})
PICTURES = ("image/gif", "image/webp")  # what Sphinx has no name for; a page shows them all the same
_KEPT = ("application/vnd.kexue.", "application/papermill.record/")  # ours, and what MyST-NB's glue leaves


def check_displays(unit: Unit, executed: Any) -> None:
    """Check that a page can show whatever the cells display.

    Raises:
        RunFailed: naming the cell that displays something else, with nothing to show in its place.
    """
    for index, cell in enumerate(executed.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data and not any(mime in {*SHOWN, *PICTURES} or mime.startswith(_KEPT) for mime in data):
                message = (
                    f"displays {', '.join(sorted(data))}, which no page can show; "
                    "give it a text/plain or text/html form as well, or show a picture"
                )
                raise failed_at(unit, executed, index, FailureKind.OUTPUT, message)


def stored_notebook(executed: Any, paths: MachinePaths) -> Any:
    """The notebook a reader gets: without the press's own cells, time stamps and names of this machine's folders.

    Args:
        executed: the executed notebook, which `check_displays` has passed.
        paths: the folders it may name.
    """
    notebook = executed.copy()
    notebook.cells = [cell for cell in executed.cells if is_chapters(cell)]
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = list(_merged(cell.outputs))
        for output in cell.outputs:
            _tidy(output, cell, paths)
            if output.output_type == "execute_result":
                output.execution_count = count
        cell.metadata.pop("execution", None)
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
    return notebook


def _merged(outputs: list[Any]) -> Iterator[Any]:
    """The outputs with what was printed between two displays in one piece, errors after the rest, as a terminal shows it.

    A kernel sends what is printed in pieces that depend on the moment, and lines of its two streams in any order.
    """
    for printed, group in groupby(outputs, lambda output: output.output_type == "stream"):
        if not printed:
            yield from group
            continue
        pieces = list(group)
        for name in ("stdout", "stderr"):
            of_name = [piece for piece in pieces if piece.name == name]
            if of_name:
                of_name[0].text = _as_on_a_terminal("".join(piece.text for piece in of_name))
                yield of_name[0]


def _as_on_a_terminal(text: str) -> str:
    """A text in whose lines what stands before a carriage return is overwritten by what comes after."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _tidy(output: Any, cell: Any, paths: MachinePaths) -> None:
    if output.output_type == "stream":
        output.text = paths.neutral(output.text)
        return
    data = output.get("data", {})
    for mime in [mime for mime in data if mime not in {*SHOWN, *PICTURES} and not mime.startswith(_KEPT)]:
        del data[mime]  # a page would prefer some of them to what can be read
    for mime in PICTURES:
        if picture := data.pop(mime, None):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            source = f"data:{mime};base64,{picture.strip()}"
            data.setdefault("text/html", f'<img src="{source}" alt="{escape(str(alt))}">')
    for mime in [mime for mime in TEXTS if mime in data]:
        plain = mime in ("text/plain", "text/latex")
        data[mime] = (paths.neutral if plain else paths.neutral_markup)(data[mime])
