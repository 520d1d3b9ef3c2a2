"""The source of a library object, read from the file as text by griffe: nothing of the library is imported."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kexue.press.sphinx_ext.staged import Excerpt


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
            return _within(root, path, parts[:length], parts[length:])
    return None


def read_module(path: Path, name: str) -> Any:
    """A module as griffe sees it, with the lines of its objects."""
    import griffe

    text = path.read_text(encoding="utf-8")
    lines = griffe.LinesCollection()
    lines[path] = text.split("\n")
    return griffe.visit(name, filepath=path, code=text, lines_collection=lines)


def _module_file(root: Path, parts: list[str]) -> Path | None:
    base = root.joinpath("src", *parts)
    return next(filter(Path.is_file, (base.with_suffix(".py"), base / "__init__.py")), None)


def _within(root: Path, path: Path, module: list[str], names: list[str]) -> Excerpt | None:
    found = read_module(path, ".".join(module))
    for depth, name in enumerate(names, start=1):
        found = None if found.is_function else found.members.get(name)
        if found is None:
            return None
        if found.is_alias:
            further = ".".join([found.target_path, *names[depth:]])
            return excerpt(root, further) if further != ".".join([*module, *names]) else None
    relative = path.relative_to(root).as_posix()
    lines = path.read_text(encoding="utf-8").split("\n")
    if not names:
        return {"path": relative, "line": 1, "source": "\n".join(lines).strip("\n")}
    first = found.lineno
    while lines[first - 2].lstrip().startswith("@"):  # griffe takes a property without its decorators
        first -= 1
    return {"path": relative, "line": first, "source": dedent("\n".join(lines[first - 1 : found.endlineno]))}
