"""The source of a library object, read from the file as text: nothing of the library is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Excerpt:
    """A piece of the library as it stands.

    Args:
        path: the file, relative to the repository's root.
        line: the 1-based line the piece begins on.
        source: its text.
    """

    path: str
    line: int
    source: str


def excerpt(root: Path, dotted: str) -> Excerpt | None:
    """The source of a module, class, function, method or constant by its dotted name; None if missing.

    A name that a package only passes on (`from kexue.a.b import f`) is followed to where it is defined.

    Args:
        root: the repository's root, which holds `src/`.
        dotted: such as "kexue.leaderboard.means.power_mean".
    """
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = _module_file(root, parts[:length])
        if path is not None:
            return _within(root, path, parts[length:])
    return None


def _module_file(root: Path, parts: list[str]) -> Path | None:
    base = root.joinpath("src", *parts)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _within(root: Path, path: Path, names: list[str]) -> Excerpt | None:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(root).as_posix()
    if not names:
        return Excerpt(relative, 1, text.strip("\n"))
    body = ast.parse(text).body
    for depth, name in enumerate(names):
        found = next((node for node in body if name in _defines(node)), None)
        if isinstance(found, ast.ImportFrom) and found.module and depth == 0:
            original = next(alias.name for alias in found.names if (alias.asname or alias.name) == name)
            return excerpt(root, ".".join([found.module, original, *names[1:]]))
        if found is None:
            return None
        body = found.body if isinstance(found, ast.ClassDef) else []
    assert found is not None
    first = min([found.lineno, *(decorator.lineno for decorator in getattr(found, "decorator_list", ()))])
    lines = text.split("\n")[first - 1 : found.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return Excerpt(relative, first, "\n".join(line[indent:] for line in lines))


def _defines(node: ast.stmt) -> set[str]:
    """The names a statement binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.ImportFrom(names=names):
            return {alias.asname or alias.name for alias in names}
        case _:
            return set()
