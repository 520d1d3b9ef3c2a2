"""The library as its pages show it, read from the source by griffe: nothing of it is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

from kexue.press.site.excerpt import excerpt

if TYPE_CHECKING:
    from kexue.press.sources.chapter import Chapter

_NOT_THE_LIBRARY = {"press", "cli"}
_PLAIN = {"text", "admonition"}


def library(root: Path, chapters: Iterable[Chapter] = ()) -> list[dict[str, Any]]:
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


def _module(root: Path, path: Path, name: str, used: dict[str, set[str]]) -> dict[str, Any]:
    code = path.read_text(encoding="utf-8")
    found = griffe.visit(name.rsplit(".", 1)[-1], filepath=path, code=code)
    objects = [
        _object(root, name, member)
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


def _object(root: Path, module: str, found: Any) -> dict[str, Any]:
    return {
        "name": found.name,
        "kind": "class" if found.is_class else "function",
        "line": found.lineno or 1,
        "signature": _signature(root, f"{module}.{found.name}"),
        "sections": _sections(found),
        "members": [
            {"name": member.name, "sections": _sections(member), "property": "property" in member.labels}
            for member in (found.members.values() if found.is_class else ())
            if not member.is_alias and member.is_function | ("property" in member.labels)
            if not member.name.startswith("_") and member.docstring
        ],
    }


def _signature(root: Path, dotted: str) -> str:
    """The definition's own lines, as they stand, up to its colon."""
    import ast

    shown = excerpt(root, dotted)
    if shown is None:
        return dotted
    node = ast.parse(shown.source).body[0]
    if isinstance(node, ast.ClassDef):
        end = node.body[0].lineno - 1 if node.body[0].lineno > node.lineno else node.lineno
        lines = shown.source.split("\n")[:end]
        fields = [
            ast.get_source_segment(shown.source, item) or ""
            for item in node.body
            if isinstance(item, ast.AnnAssign)
        ]
        return "\n".join([*lines, *(f"    {field}" for field in fields)]).rstrip()
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return (
        "\n".join(shown.source.split("\n")[: node.body[0].lineno - 1]).rstrip() or shown.source.split("\n")[0]
    )


def _sections(found: Any) -> list[dict[str, Any]]:
    """A docstring's sections: text, or a titled list of (name, description)."""
    if found.docstring is None:
        return []
    listed: list[dict[str, Any]] = []
    for section in griffe.parse_google(
        found.docstring, warnings=False, returns_multiple_items=False, returns_named_value=False
    ):
        kind = section.kind.value
        if kind == "text":
            listed.append({"title": "", "text": section.value, "items": []})
        elif kind == "admonition":
            listed.append({"title": section.title, "text": section.value.description, "items": []})
        elif kind in ("parameters", "attributes", "raises", "returns", "yields"):
            items = [
                _returned(found, item)
                if kind == "returns"
                else [getattr(item, "name", "") or str(item.annotation or ""), item.description]
                for item in section.value
            ]
            title = {"parameters": "Arguments"}.get(kind, kind.capitalize())
            listed.append({"title": title, "text": "", "items": items})
    return listed


def _returned(found: Any, item: Any) -> list[str]:
    """What a function returns: its own annotation, and the text; words before a colon are text and no type."""
    own, said = str(getattr(found, "returns", None) or ""), str(item.annotation or "")
    return [own, item.description if said in ("", own) else f"{said}: {item.description}"]
