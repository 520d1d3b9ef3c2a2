"""What an executed notebook shows: whether every cell ran, what was claimed and measured, what was used."""

from __future__ import annotations

from typing import Any

from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME
from kexue.press.execution.kernel import Watch
from kexue.press.execution.trace import TRACE_MIME, TRACE_TAG
from kexue.press.project import LIBRARY
from kexue.press.store.plan import Unit

INJECTED = "injected-parameters"  # papermill's tag of the cell it adds


class RunFailed(RuntimeError):
    """A run did not end well; `failure` holds what is known, as plain data."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(failure["message"])
        self.failure = failure


def ordinal_of(cells: list[Any], index: int) -> int:
    """Which code cell of the chapter, from 1, the notebook's cell `index` is."""
    return sum(
        cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", ())
        for cell in cells[: index + 1]
    )


def failed(
    unit: Unit,
    notebook: Any,
    watch: Watch,
    kind: str,
    message: str,
    traceback: list[str] | None = None,
    at: int | None = None,
) -> RunFailed:
    """The failure of the cell that was running, or of cell `at`, told by file and line of the chapter."""
    index = watch.cell if at is None else at
    ordinal = ordinal_of(notebook.cells, index)
    cells = unit.chapter.code_cells
    line = cells[ordinal - 1].line if 1 <= ordinal <= len(cells) else 0
    where = f"{unit.chapter.path.relative_to(unit.chapter.root)}:{line}"
    return RunFailed(
        {
            "kind": kind,
            "message": f"{where}: code cell {ordinal} of {len(cells)} {message}",
            "cell": ordinal,
            "line": line,
            "exit_code": watch.exit_code() if kind == "kernel died" else None,
            "traceback": [str(part) for part in traceback or []],
        }
    )


def check_executed(unit: Unit, executed: Any, watch: Watch) -> None:
    """Success is read off the cells: each has run, none has raised, whatever papermill's metadata say."""
    for index, cell in enumerate(executed.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                message = f"raised {output.ename}: {output.evalue}"
                raise failed(unit, executed, watch, "raised", message, output.traceback, at=index)
        if cell.execution_count is None:
            raise failed(unit, executed, watch, "not executed", "was never executed", at=index)


def _outputs(notebook: Any, mime: str) -> list[Any]:
    return [
        output.data[mime]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if mime in output.get("data", {})
    ]


def incomplete(message: str) -> RunFailed:
    """The failure of a run whose cells all ran, but which cannot be put on record."""
    return RunFailed({"kind": "record", "message": message})


def collect(unit: Unit, executed: Any) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Trace, claims and measurements out of an executed notebook.

    Raises:
        RunFailed: the record is incomplete, or the run used what its fingerprint does not cover.
    """
    slug = unit.chapter.slug
    traces, declared = _outputs(executed, TRACE_MIME), _outputs(executed, CLAIMS_MIME)
    closing = _outputs(executed, VERDICTS_MIME)
    if len(declared) != 1 or len(closing) != 1:
        raise incomplete(
            f"chapter {slug!r} must call declare(…) once and claims.verdicts() once; "
            f"it did {len(declared)} and {len(closing)} times"
        )
    measurements = [output["measurement"] for output in _outputs(executed, MEASUREMENT_MIME)]
    shown = [m["id"] for m in measurements]
    twice = sorted({id for id in shown if shown.count(id) > 1})
    if twice:
        raise incomplete(
            f"chapter {slug!r} measured {', '.join(twice)} more than once; one measurement a run"
        )
    if shown != list(closing[0]["measured"]):
        raise incomplete(
            f"chapter {slug!r} measured {closing[0]['measured']}, but its outputs show {shown}: "
            "claims.verdicts() must come after the last measurement, and no output may be cleared"
        )
    ordered = {"profile": unit.profile, "seed": unit.seed}
    used = {name: declared[0][name] for name in ordered}
    if used != ordered:
        raise incomplete(
            f"chapter {slug!r} was to run with {ordered}, but its claims were declared with {used}"
        )
    ids = [claim["id"] for claim in declared[0]["claims"]]
    run_as = [(claim["id"], claim["over"], claim["unit"]) for claim in declared[0]["claims"]]
    if sorted(run_as) != sorted((claim.id, claim.over, claim.unit) for claim in unit.chapter.claims):
        raise incomplete(
            f"chapter {slug!r} declares other claims when run ({ids}) than its claims cell shows"
        )
    (found,) = traces
    if found["library"] != str(LIBRARY):
        raise incomplete(
            f"chapter {slug!r} ran the library in {found['library']}, but its fingerprint is of {LIBRARY}"
        )
    hidden = set(found["modules"]) - set(unit.fingerprint.modules)
    if hidden:
        raise incomplete(
            f"chapter {slug!r} loaded {', '.join(sorted(hidden))}, which no import statement reaches; "
            "import it openly, so that its changes make the chapter stale"
        )
    undeclared = set(found["data"]) - set(unit.fingerprint.data)
    if undeclared:
        raise incomplete(
            f"chapter {slug!r} read {', '.join(sorted(undeclared))}; add it to `kexue.data` in its front matter"
        )
    return dict(found), list(declared[0]["claims"]), measurements


def cleaned(executed: Any) -> Any:
    """The notebook a reader gets: without the press's own cells and papermill's time stamps."""
    notebook = executed.copy()
    notebook.cells = [
        cell for cell in executed.cells if not {INJECTED, TRACE_TAG} & set(cell.metadata.get("tags", ()))
    ]
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
        cell.metadata.pop("execution", None)
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
    return notebook
