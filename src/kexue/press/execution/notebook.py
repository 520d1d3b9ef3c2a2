"""The notebook of a run: the chapter's, with parameters and settings put in, and the press's own last cell."""

from __future__ import annotations

import hashlib
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from nbformat.v4 import new_code_cell
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from kexue.press.project import PressError
from kexue.press.sources.cells import assigned_names, parse
from kexue.press.store.plan import Unit

SETTINGS = "settings"  # the mapping in which a chapter keeps what its profile changes
INJECTED = "injected-parameters"  # papermill's tag of the cell it adds
TRACE_TAG = "kexue-trace"  # ours, of the cell that says what the run has used
_TRACE_CELL = "import kexue.press.execution.trace as _kexue_trace\n_kexue_trace.emit()"


def notebook_of(unit: Unit) -> Any:
    """The notebook that a run of the unit executes.

    Raises:
        PressError: when the chapter cannot be run as it is written, told by file and line.
    """
    unit.chapter.check_cells()
    unit.chapter.check_parameters()
    notebook = parameterize_notebook(
        load_notebook_node(unit.chapter.notebook),
        {"profile": unit.profile, "seed": unit.seed, "device": unit.device},
        kernel_name=NATIVE_KERNEL_NAME,
        language="python",
    )
    if unit.settings:
        notebook.cells.insert(_after_settings(unit, notebook.cells), _override(unit.settings))
    notebook.cells = [*notebook.cells, new_code_cell(_TRACE_CELL, metadata={"tags": [TRACE_TAG]})]
    for position, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{position}\0{cell.source}".encode()).hexdigest()[:12]
    return notebook


def is_chapters(cell: Any) -> bool:
    """Whether a cell is the chapter's, not one that the press has added."""
    return not {INJECTED, TRACE_TAG} & set(cell.metadata.get("tags", ()))


def ordinal_of(cells: list[Any], index: int) -> int:
    """Which code cell of the chapter, from 1, the notebook's cell `index` is."""
    return sum(
        cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", ())
        for cell in cells[: index + 1]
    )


def _after_settings(unit: Unit, cells: list[Any]) -> int:
    """The place behind the cell that makes the chapter's `settings`."""
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and SETTINGS in assigned_names(parse(cell.source)):
            return place + 1
    raise PressError(
        f"{unit.chapter.path}: --set changes the mapping `{SETTINGS}`, and no cell of the chapter makes one"
    )


def _override(settings: dict[str, Any]) -> Any:
    """A cell that changes entries of `settings`, and refuses names it does not have."""
    code = f"""for _name, _value in {settings!r}.items():
    if _name not in {SETTINGS}:
        raise KeyError(f"--set {{_name}}: settings has {{', '.join({SETTINGS})}}")
    {SETTINGS}[_name] = _value"""
    return new_code_cell(code, metadata={"tags": [INJECTED]})
