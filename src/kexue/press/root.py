"""Where the book and its stored runs lie."""

from __future__ import annotations

import os
from pathlib import Path
from signal import Signals

import kexue

_AROUND = ("kexue.press", "kexue.cli", "kexue.claims")
LIBRARY = Path(kexue.__file__).resolve().parents[1]  # the folder that holds the package


class PressError(RuntimeError):
    """Something the press cannot do; the message names what came and what is wanted."""


def find_root(start: Path | None = None) -> Path:
    """The book's folder: the nearest one at or above `start` (default: here) with `_toc.yml` and `book/`.

    Raises:
        PressError: when there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
            return folder
    raise PressError(
        f"no book at or above {here}: a book has _toc.yml and book/; run kexue inside a clone of it"
    )


def store_folder(root: Path) -> Path:
    """Where runs are kept: `KEXUE_STORE`, or `.kexue/` in the book's folder."""
    return Path(os.environ.get("KEXUE_STORE") or root / ".kexue").resolve()


def decides_nothing(module: str) -> bool:
    """Whether no number of a run depends on a module: of the press and the command line, which run chapters and are part
    of none, and of the claims, by which the numbers are judged anew whenever they are shown.
    """
    return any(module == name or module.startswith(name + ".") for name in _AROUND)


def signal_name(number: int) -> str:
    """The name of a signal, or its number where it has none (a real-time signal)."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
