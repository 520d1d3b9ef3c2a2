"""What an executed notebook says of itself, by schema: what was claimed and measured, what was loaded and used."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from kexue.claims import Measurement
from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME
from kexue.press.execution.failures import failed_at, incomplete
from kexue.press.execution.notebook import TRACE_TAG
from kexue.press.execution.trace import TRACE_MIME, Trace
from kexue.press.project import LIBRARY
from kexue.press.store.failure import FailureKind
from kexue.press.store.plan import Unit

_Shape = TypeVar("_Shape")


@dataclass(frozen=True)
class Found:
    """What a run says of itself.

    Args:
        trace: what it loaded and used.
        claims: what it claims, as plain data.
        measurements: what it measured for them, as plain data.
    """

    trace: Trace
    claims: list[Any]
    measurements: list[Any]


def collect(unit: Unit, executed: Any) -> Found:
    """Trace, claims and measurements out of an executed notebook.

    Raises:
        RunFailed: the record is incomplete, or the run used what its fingerprint does not cover.
    """
    slug = unit.chapter.slug
    declared = _checked(unit, executed, CLAIMS_MIME, _declared)
    closing = _checked(unit, executed, VERDICTS_MIME, _closing)
    if len(declared) != 1 or len(closing) != 1:
        raise incomplete(
            f"chapter {slug!r} must call declare(…) once and claims.verdicts() once; "
            f"it did {len(declared)} and {len(closing)} times"
        )
    measurements = _checked(unit, executed, MEASUREMENT_MIME, _measurement)
    shown = [m.id for m in measurements]
    twice = sorted({id for id in shown if shown.count(id) > 1})
    if twice:
        raise incomplete(
            f"chapter {slug!r} measured {', '.join(twice)} more than once; one measurement a run"
        )
    if shown != closing[0]:
        raise incomplete(
            f"chapter {slug!r} measured {closing[0]}, but its outputs show {shown}: "
            "claims.verdicts() must come after the last measurement, and no output may be cleared"
        )
    ordered = {"profile": unit.profile, "seed": unit.seed}
    used = {name: declared[0][name] for name in ordered}
    if used != ordered:
        raise incomplete(
            f"chapter {slug!r} was to run with {ordered}, but its claims were declared with {used}"
        )
    claims = declared[0]["claims"]
    run_as = [(claim["id"], claim["over"], claim["unit"]) for claim in claims]
    if sorted(run_as) != sorted((claim.id, claim.over, claim.unit) for claim in unit.chapter.claims):
        ids = [claim["id"] for claim in claims]
        raise incomplete(
            f"chapter {slug!r} declares other claims when run ({ids}) than its claims cell shows"
        )
    return Found(_trace(unit, executed), claims, [measurement.record() for measurement in measurements])


def _trace(unit: Unit, executed: Any) -> Trace:
    """What the press's own last cell says was loaded; anything the fingerprint does not cover is refused."""
    slug = unit.chapter.slug
    for index, cell in enumerate(executed.cells):
        own = TRACE_TAG in cell.metadata.get("tags", ())
        if not own and any(True for _ in _of_cell(cell, TRACE_MIME)):
            raise _malformed(unit, executed, index, TRACE_MIME, "only the press itself may show one")
    (found,) = _checked(unit, executed, TRACE_MIME, Trace.from_record)
    if found.library != str(LIBRARY):
        raise incomplete(
            f"chapter {slug!r} ran the library in {found.library}, but its fingerprint is of {LIBRARY}"
        )
    hidden = set(found.modules) - set(unit.fingerprint.modules)
    if hidden:
        raise incomplete(
            f"chapter {slug!r} loaded {', '.join(sorted(hidden))}, which no import statement reaches; "
            "import it openly, so that its changes make the chapter stale"
        )
    undeclared = set(found.data) - set(unit.fingerprint.data)
    if undeclared:
        raise incomplete(
            f"chapter {slug!r} read {', '.join(sorted(undeclared))}; add it to `kexue.data` in its front matter"
        )
    return found


def _checked(unit: Unit, executed: Any, mime: str, shape: Callable[[Any], _Shape]) -> list[_Shape]:
    """What all cells show of one of our media types, in the shape it must have.

    Raises:
        RunFailed: naming the cell that shows something else; whoever wants to can display anything by hand.
    """
    found = []
    for index, cell in enumerate(executed.cells):
        for data in _of_cell(cell, mime):
            try:
                found.append(shape(data))
            except ValueError as error:
                raise _malformed(unit, executed, index, mime, str(error)) from error
    return found


def _of_cell(cell: Any, mime: str) -> Iterator[Any]:
    if cell.cell_type == "code":
        yield from (output.data[mime] for output in cell.outputs if mime in output.get("data", {}))


def _malformed(unit: Unit, executed: Any, index: int, mime: str, why: str) -> Exception:
    return failed_at(unit, executed, index, FailureKind.OUTPUT, f"shows {mime}, and {why}")


def _fields(data: Any, what: str, **kinds: type) -> None:
    """Check that data is a mapping with these fields.

    Raises:
        ValueError: saying what it should hold.
    """
    names = ", ".join(f"{name}: {kind.__name__}" for name, kind in kinds.items())
    if not isinstance(data, dict) or not all(
        isinstance(data.get(name), kind) and not (kind is not bool and isinstance(data[name], bool))
        for name, kind in kinds.items()
    ):
        raise ValueError(f"{what} must hold {names}; got {data!r:.80}")


def _declared(data: Any) -> dict[str, Any]:
    _fields(data, "it", claims=list, profile=str, seed=int)
    for claim in data["claims"]:
        _fields(claim, "a claim", id=str, over=str, unit=str)
    return dict(data)


def _closing(data: Any) -> list[str]:
    _fields(data, "it", measured=list, profile=str, seed=int)
    return list(data["measured"])


def _measurement(data: Any) -> Measurement:
    _fields(data, "it", measurement=dict)
    one = data["measurement"]
    _fields(one, "a measurement", id=str, values=list, binary=bool)
    if not one["values"]:
        raise ValueError("a measurement must have a value, got none")
    return Measurement(
        one["id"],
        tuple(_number(value, "a value") for value in one["values"]),
        _number(one.get("error"), "its error"),
        one["binary"],
    )


def _number(value: Any, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(number := float(value)):
                return number
        except OverflowError:  # an integer beyond any float
            pass
    raise ValueError(f"{what} must be a finite number, got {type(value).__name__} {value!r:.40}")
