"""Names of this machine's folders, which say nothing to a reader, told in neutral words."""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from html import escape
from pathlib import Path

from kexue.press.project import LIBRARY

_SHORTEST = 5  # characters a folder's path has at least: "/" and "/home" are part of too much else


class MachinePaths:
    """The folders that a run's outputs may name, with what a reader is told instead.

    Args:
        book: the folder of the book, which may be a copy of a single chapter; the library knows the clone.
        scratch: the kernel's working folder.
    """

    def __init__(self, book: Path, scratch: Path) -> None:
        python = sysconfig.get_paths()
        names = {
            str(Path.home()): "~",
            sys.base_prefix: "<python>",
            sys.prefix: "<environment>",
            python["stdlib"]: "<python>",
            python["purelib"]: "site-packages",
            python["platlib"]: "site-packages",
            str(book): ".",
            **({str(LIBRARY.parent): ".", str(LIBRARY): "src"} if LIBRARY.name == "src" else {}),
            str(scratch): "<scratch>",
        }
        self._names = {path: name for path, name in names.items() if len(path) >= _SHORTEST}
        longest_first = sorted(self._names, key=len, reverse=True)
        folders = "|".join(map(re.escape, longest_first))
        # IPython names a cell after the kernel's process, in a folder that it never makes. All begins with a fixed text:
        # a line may have a million characters.
        cell = re.escape(tempfile.gettempdir()) + r"/ipykernel_\d+/\d+\.py"
        self._pattern = re.compile(rf"{cell}|(?:{folders})(?![\w.-])")

    def neutral(self, text: str) -> str:
        """A text with neutral names."""
        return self._pattern.sub(lambda found: self._names.get(found[0], "<cell>"), text)

    def neutral_markup(self, text: str) -> str:
        """HTML or Markdown with neutral names, whose angle brackets are no tags."""
        return self._pattern.sub(lambda found: escape(self._names.get(found[0], "<cell>")), text)
