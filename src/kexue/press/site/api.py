"""The library as its pages show it, read from the source by griffe: nothing of it is imported."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

from kexue.press.site.excerpt import read_module

if TYPE_CHECKING:
    from kexue.press.sources.chapter import Chapter
    from kexue.press.sphinx_ext.staged import Module, Object, Section

_NOT_THE_LIBRARY = {"press", "cli"}
_PLAIN = {"text", "admonition"}


def library(root: Path, chapters: Iterable[Chapter] = ()) -> list[Module]:
    """Every public module of the library with its public functions and classes.

    Args:
        root: the repository's root, which holds `src/`.
        chapters: the chapters, for the links back to those that use a module.

    Returns:
        One mapping a module, in order of name: name, path, text, objects, chapters (slugs). An object has name, kind,
        line, signature, sections, members.
    """
    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # docstrings are the business of the tests
    used = {chapter.slug: chapter.imports() for chapter in chapters}
    return [_module(root, path, name, used) for path, name in _files(root)]


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    base = root / "src"
    for path in sorted((base / "kexue").rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        inner = parts[1:-1] if parts[-1] == "__init__" else parts[1:]
        if inner and inner[0] not in _NOT_THE_LIBRARY and not any(part.startswith("_") for part in inner):
            yield path, ".".join(("kexue", *inner))


def _module(root: Path, path: Path, name: str, used: dict[str, set[str]]) -> Module:
    found = read_module(path, name.rsplit(".", 1)[-1])
    objects = [
        _object(member)
        for member in found.members.values()
        if not member.is_alias and not member.name.startswith("_") and (member.is_function or member.is_class)
    ]
    reached = [slug for slug, names in used.items() if _uses(names, name, path.name == "__init__.py")]
    return {
        "name": name,
        "path": path.relative_to(root).as_posix(),
        "text": found.docstring.value if found.docstring else "",
        "objects": objects,
        "chapters": reached,
    }


def _uses(imported: set[str], module: str, package: bool) -> bool:
    """Whether a chapter imports the module or something in it; of a package, what is not a module of its own."""
    return module in imported or (not package and any(name.startswith(f"{module}.") for name in imported))


def _object(found: Any) -> Object:
    return {
        "name": found.name,
        "kind": "class" if found.is_class else "function",
        "line": found.lineno or 1,
        "signature": _signature(found.source),
        "sections": _sections(found),
        "members": [
            {"name": member.name, "sections": _sections(member), "property": "property" in member.labels}
            for member in (found.members.values() if found.is_class else ())
            if not member.is_alias and member.is_function | ("property" in member.labels)
            if not member.name.startswith("_") and member.docstring
        ],
    }


def _signature(source: str) -> str:
    """The definition's own lines, as they stand, up to its colon; of a class its fields, too."""
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    lines = source.split("\n")
    head = lines[: max(node.body[0].lineno - 1, 1)]
    if isinstance(node, ast.ClassDef):
        head = lines[: max(node.body[0].lineno - 1, node.lineno)]
        fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
        head += [f"    {ast.get_source_segment(source, field)}" for field in fields]
    return "\n".join(head).rstrip()


def _sections(found: Any) -> list[Section]:
    """A docstring's sections: text, or a titled list of (name, description)."""
    if found.docstring is None:
        return []
    listed: list[Section] = []
    for section in griffe.parse_google(
        found.docstring, warnings=False, returns_multiple_items=False, returns_named_value=False
    ):
        kind = section.kind.value
        if kind == "text":
            listed.append({"title": "", "text": section.value, "items": []})
        elif kind == "admonition":
            listed.append({"title": section.title or "", "text": section.value.description, "items": []})
        elif kind in ("parameters", "attributes", "raises", "returns", "yields"):
            items = [
                _returned(found, item)
                if kind == "returns"
                else (getattr(item, "name", "") or str(item.annotation or ""), item.description)
                for item in section.value
            ]
            title = {"parameters": "Arguments"}.get(kind, kind.capitalize())
            listed.append({"title": title, "text": "", "items": items})
    return listed


def _returned(found: Any, item: Any) -> tuple[str, str]:
    """What a function returns: its own annotation, and the text; words before a colon are text and no type."""
    own, said = str(getattr(found, "returns", None) or ""), str(item.annotation or "")
    return own, item.description if said in ("", own) else f"{said}: {item.description}"
