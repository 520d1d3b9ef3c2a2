"""What the renderer has read and written before, kept beside the site: a page that nothing has changed is not set again.

Two questions are asked of a new staging tree. Is the book as a whole the one that was rendered: same tools and press, same
configuration, contents, titles, headings and style? If not, all is forgotten. And of each page: has its file changed, or what it
shows of the staged data? If so, it is read and written again. A rendering that did not end well is forgotten, too.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from kexue.press.sphinx_ext.staged import SiteData

_HEADING = re.compile(r"^(?:#{1,6} .*|\([^)\n]+\)=)$", re.MULTILINE)
_ABOUT_THE_BOOK = re.compile(  # a chapter that shows one of these shows all the others
    r"\{(?:scoreboard|tally|chapter-cards|take-away|[a-z]+-tables?|slowest-cells|library-\w+)\}"
)
_FILE = re.compile(r'_(?:images|downloads)/([^"?#<>]+)')


class Kept:
    """A folder with the last staging tree, what Sphinx has read of it, and the pages.

    Args:
        folder: where; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source, self.html, self.doctrees = (folder / name for name in ("source", "html", "doctrees"))
        self._state = folder / "state.json"

    def forget(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, staged: Path, data: SiteData, tools: str) -> dict[str, Any]:
        """Take over a new staging tree; returns what to `finish` with once it is rendered.

        Args:
            staged: the new tree.
            data: what its pages show.
            tools: a digest of what renders it.
        """
        pages = _pages(staged, data)
        state: dict[str, Any] = {"book": _book(staged, data, tools), "pages": pages}
        try:
            last: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
            known = last["book"] == state["book"]
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            self.forget()
        self._state.unlink(missing_ok=True)
        # written anew each time; a file that is there before its turn is named with a digest
        shutil.rmtree(self.html / "_static", ignore_errors=True)
        take_over(staged, self.source)
        if known:
            for name, shown in pages.items():
                if last["pages"].get(name) != shown:
                    os.utime(self.source / name)
        return state

    def finish(self, state: dict[str, Any]) -> None:
        """The rendering went well: drop what no page shows any more, and keep the rest for the next time."""
        shown = {
            unquote(name)
            for page in self.html.rglob("*.html")
            for name in _FILE.findall(page.read_text(encoding="utf-8"))
        }
        for folder in ("_images", "_downloads"):
            for path in (self.html / folder).rglob("*"):
                if path.is_file() and path.relative_to(self.html / folder).as_posix() not in shown:
                    path.unlink()
        self._state.write_text(json.dumps(state), encoding="utf-8")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _book(staged: Path, data: SiteData, tools: str) -> str:
    """A digest of what any page may show: menus, neighbours, references and style are on all of them."""
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    names = [path.relative_to(staged).as_posix() for path in files]
    style = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix in (".css", ".js", ".yml")
    ]
    texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in (".ipynb", ".md")]
    headings = [_HEADING.findall(text.replace("\\n", "\n").replace('"', "\n")) for text in texts]
    titles = [[chapter["title"], chapter["title_zh"]] for chapter in data["chapters"]]
    return _digest([tools, names, style, headings, titles, data["addresses"], data.get("pdf")])


def _pages(staged: Path, data: SiteData) -> dict[str, str]:
    """For each page, a digest of what it may show of the staged data."""
    own = {f"{chapter['docname']}.ipynb": chapter for chapter in data["chapters"]}
    reference = data.get("reference") or []
    names = [[module["name"], [found["name"] for found in module["objects"]]] for module in reference]
    everything = _digest(data)
    found = {}
    for path in (*staged.rglob("*.ipynb"), *staged.rglob("*.md")):
        name = path.relative_to(staged).as_posix()
        if name in own and not _ABOUT_THE_BOOK.search(path.read_text(encoding="utf-8")):
            found[name] = _digest([own[name], data["library"], data["data"], names])
        elif name.startswith("book/library/"):
            found[name] = _digest(reference)
        else:
            found[name] = everything
    return found


def take_over(new: Path, folder: Path) -> None:
    """Make a folder hold what another holds; files that stay the same keep their times, so that Sphinx skips them."""
    wanted = {path.relative_to(new) for path in new.rglob("*") if path.is_file()}
    for path in [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name in wanted:
        target = folder / name
        if not target.is_file() or not filecmp.cmp(new / name, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new / name, target)
