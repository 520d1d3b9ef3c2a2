"""What a chapter claims, read without running it: its claims cell stands alone."""

from __future__ import annotations

import builtins
import contextlib
import io
from pathlib import Path
from typing import Any

from kexue.claims import Claim, Ledger, ledger
from kexue.press.project import PressError
from kexue.press.sources.cells import CodeCell, imported_names, parse

_IMPORTS = {"kexue.claims", "math"}
_LEFT_OUT = ("exit", "quit", "input", "open", "breakpoint")  # builtins a claims cell has no use for


def claims_of(path: Path, cell: CodeCell) -> tuple[Claim, ...]:
    """The claims that a cell declares.

    Args:
        path: the chapter, for messages.
        cell: its cell tagged `claims`.

    Raises:
        PressError: when the cell does more than declare one ledger.
    """
    tree = parse(cell.source)
    imported = set(imported_names(tree))
    if not imported <= _IMPORTS:
        raise PressError(
            f"{path}:{cell.line}: the claims cell may import only {sorted(_IMPORTS)}, "
            f"got {sorted(imported - _IMPORTS)}"
        )
    harmless = {name: value for name, value in vars(builtins).items() if name not in _LEFT_OUT}
    scope: dict[str, Any] = {"__builtins__": harmless, "profile": "quick", "seed": 0, "device": "cpu"}
    try:
        with ledger.apart(), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, str(path), "exec"), scope)
    except (Exception, SystemExit) as error:
        raise PressError(f"{path}:{cell.line}: the claims cell fails on its own: {error}") from error
    ledgers = [value for value in scope.values() if isinstance(value, Ledger)]
    if len(ledgers) != 1:
        raise PressError(f"{path}:{cell.line}: the claims cell must bind one ledger, `claims = declare(…)`")
    return tuple(ledgers[0].claims.values())
