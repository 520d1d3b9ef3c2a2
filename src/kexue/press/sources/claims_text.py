"""What a chapter claims, read from its text: the claims cell is data, and nothing in it is executed."""

from __future__ import annotations

import ast
from pathlib import Path

from kexue.claims import Claim, ClaimTextError, read_claims
from kexue.press.project import PressError
from kexue.press.sources.cells import CodeCell, parse

_WANTED = (
    'the claims cell may hold only `from kexue.claims import declare` and `claims = declare("""…""", '
    "profile=profile, seed=seed)`"
)


def claims_of(path: Path, cell: CodeCell) -> tuple[Claim, ...]:
    """The claims that a cell declares.

    Args:
        path: the chapter, for messages.
        cell: its cell tagged `claims`.

    Raises:
        PressError: by file and line, when the cell holds anything else, or its text is not what it should be.
    """
    text = _text_of(path, cell)
    try:
        return read_claims(str(text.value))
    except ClaimTextError as error:
        line = cell.line + text.lineno + error.line - 2  # both count from 1
        raise PressError(f"{path}:{line}: {error.reason}") from error


def _text_of(path: Path, cell: CodeCell) -> ast.Constant:
    """The literal text in the one call of the cell."""
    found: list[ast.Constant] = []
    for node in parse(cell.source).body:
        text = _declared(node)
        if text is not None:
            found.append(text)
        elif not _imports_claims(node):
            raise PressError(f"{path}:{cell.line + node.lineno - 1}: {_WANTED}, got `{_first_line(node)}`")
    if len(found) != 1:
        raise PressError(f"{path}:{cell.line}: {_WANTED}; it declares {len(found)} times")
    return found[0]


def _imports_claims(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "kexue.claims" and node.level == 0


def _declared(node: ast.stmt) -> ast.Constant | None:
    """The text, where a statement is `claims = declare("…", profile=profile, seed=seed)`."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id="claims")],
            value=ast.Call(
                func=ast.Name(id="declare"),
                args=[ast.Constant(value=str()) as text],
                keywords=[
                    ast.keyword(arg="profile", value=ast.Name(id="profile")),
                    ast.keyword(arg="seed", value=ast.Name(id="seed")),
                ],
            ),
        ):
            return text
    return None


def _first_line(node: ast.stmt) -> str:
    return ast.unparse(node).split("\n")[0][:60]
