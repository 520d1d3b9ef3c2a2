"""No place of a machine reaches a page: warnings and tracebacks of a run name files, and these are told without their folders."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

_CELL = re.compile(r"(?:/[^\s'\"<>|]+)?/ipykernel_\d+/\d+\.py")
_LIBRARY = re.compile(r"(?:/[^\s'\"<>|:]+)?/(?:site-packages|dist-packages|lib/python3\.\d+)/")


def without_places(text: str, root: Path) -> str:
    """A text in which files are named from the book, the library or the home they are in.

    Args:
        text: what a run has written.
        root: the book's folder.
    """
    text = _LIBRARY.sub("", _CELL.sub("cell", text))
    for folder, short in (
        (root, "."),
        (root.resolve(), "."),
        (Path(sys.prefix), "python"),
        (Path.home(), "~"),
    ):
        if len(folder.parts) > 1:
            text = text.replace(f"{folder}/", f"{short}/").replace(f"{folder}\\", short)
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/[^\s'\"<>|:/]+/", "", text)


def clean_output(output: Any, root: Path) -> dict[str, Any]:
    """An output of a cell without the places in its words; pictures and data stay as they are."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(one) for one in value]
        return without_places(value, root) if isinstance(value, str) else value

    cleaned = {
        **output,
        **{name: clean(output[name]) for name in ("text", "traceback", "evalue") if name in output},
    }
    if "data" in output:
        cleaned["data"] = {
            kind: clean(value) if kind in ("text/plain", "text/html", "text/markdown") else value
            for kind, value in output["data"].items()
        }
    return cleaned
