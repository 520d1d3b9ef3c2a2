"""The order of the book: `_toc.yml`, read and extended in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexue.press.project import PressError, read_yaml, write_text

NAME = "_toc.yml"


@dataclass(frozen=True)
class Part:
    """A part of the book.

    Args:
        caption: its heading; "" for chapters outside of any part.
        entries: its pages as `_toc.yml` lists them: mappings with `file`, and whatever else jupyter-book knows.
    """

    caption: str
    entries: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Contents:
    """What `_toc.yml` says.

    Args:
        front: the first page.
        parts: the parts in order.
    """

    front: str
    parts: tuple[Part, ...]

    def documents(self) -> tuple[str, ...]:
        """Every page in order, without its ending, those below other pages included."""
        return (self.front, *(name for part in self.parts for name in _documents(part.entries)))


def _documents(entries: tuple[dict[str, Any], ...]) -> list[str]:
    found = []
    for entry in entries:
        found.append(entry["file"])
        found += _documents(tuple(entry.get("sections") or ()))
    return found


def read_contents(root: Path) -> Contents:
    """The table of contents.

    Args:
        root: the book's folder.

    Raises:
        PressError: naming the entry that is not as jupyter-book wants it.
    """
    path = root / NAME
    toc = read_yaml(path)
    if not isinstance(toc.get("root"), str):
        raise PressError(f"{path}: `root` must name the first page, got {toc.get('root')!r}")
    parts = [Part("", _entries(path, "chapters", toc.get("chapters")))]
    listed = toc.get("parts") or []
    if not isinstance(listed, list):
        raise PressError(f"{path}: `parts` must be a list, got {listed!r:.60}")
    for number, part in enumerate(listed, start=1):
        if not isinstance(part, dict):
            raise PressError(
                f"{path}: part {number} must be a mapping with caption and chapters, got {part!r:.60}"
            )
        chapters = _entries(path, f"chapters of part {number}", part.get("chapters"))
        parts.append(Part(str(part.get("caption") or ""), chapters))
    return Contents(_page(toc["root"]), tuple(part for part in parts if part.entries or part.caption))


def _page(name: str) -> str:
    return name.removesuffix(".md").removesuffix(".ipynb")


def _entries(path: Path, where: str, listed: Any) -> tuple[dict[str, Any], ...]:
    """The entries of a list of pages; links to elsewhere (`url`) and patterns (`glob`) are no pages of ours."""
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise PressError(f"{path}: {where} must be a list of `- file: …`, got {listed!r:.60}")
    found = []
    for entry in listed:
        if "file" not in entry and ("url" in entry or "glob" in entry):
            continue
        if not isinstance(entry.get("file"), str):
            raise PressError(f"{path}: {where}: `file` must name a page, got {entry!r:.60}")
        below = _entries(path, f"sections of {entry['file']}", entry.get("sections"))
        found.append({**entry, "file": _page(entry["file"]), **({"sections": list(below)} if below else {})})
    return tuple(found)


def add_page(root: Path, caption: str, docname: str) -> Path:
    """List a page last in a part of `_toc.yml`; its comments stay.

    Args:
        root: the book's folder.
        caption: the part's heading.
        docname: the page, without its ending.

    Raises:
        PressError: when there is not exactly one part of that heading.
    """
    path = root / NAME
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    heads = [i for i, line in enumerate(lines) if re.match(rf"\s*- caption: {re.escape(caption)}\s*$", line)]
    if len(heads) != 1:
        raise PressError(f"{path} must have one part with the caption {caption!r}, found {len(heads)}")
    start = heads[0] + 1
    end = next((i for i in range(start, len(lines)) if re.match(r"\s*- caption:|\S", lines[i])), len(lines))
    part = [re.sub(r"chapters:\s*\[\]\s*$", "chapters:", line) for line in lines[start:end]]
    text = "\n".join([*lines[:start], *part, f"      - file: {docname}", *lines[end:]]) + "\n"
    write_text(path, text)
    return path
