"""The menu of the site: the page's own part opened, each of the others one link. Its cost does not grow with the book.

The theme would resolve every page's entry, and parse it, for every page anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from docutils import nodes
from markupsafe import Markup
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.builders.html import StandaloneHTMLBuilder


@dataclass(frozen=True)
class Entry:
    """A page in the menu, with the pages below it."""

    docname: str
    title: Markup
    below: tuple[Entry, ...]

    def holds(self, page: str) -> bool:
        """Whether a page is this one or below it."""
        return page == self.docname or any(entry.holds(page) for entry in self.below)


@dataclass(frozen=True)
class Part:
    """A part of the book: its caption and its pages."""

    caption: str
    entries: tuple[Entry, ...]

    def holds(self, page: str) -> bool:
        """Whether a page is in this part."""
        return any(entry.holds(page) for entry in self.entries)


def parts(app: Sphinx) -> list[Part]:
    """The book's parts with their pages, as the table of contents has them."""
    return [Part(caption, entries) for caption, entries in _trees(app, app.config.root_doc) if entries]


def _trees(app: Sphinx, docname: str) -> list[tuple[str, tuple[Entry, ...]]]:
    found = []
    for tree in app.env.tocs[docname].findall(addnodes.toctree):
        entries = (
            Entry(name, _title(app, title, name), tuple(e for _, below in _trees(app, name) for e in below))
            for title, name in tree["entries"]
            if name in app.env.titles
        )
        found.append((tree.get("caption") or "", tuple(entries)))
    return found


def _title(app: Sphinx, given: str | None, docname: str) -> Markup:
    if given:
        return Markup.escape(given)
    title: nodes.title = app.env.titles[docname]
    return Markup(cast("StandaloneHTMLBuilder", app.builder).render_partial(title)["title"])


class _Menu:
    """The parts, read when the first page asks for them."""

    def __init__(self) -> None:
        self.parts: list[Part] | None = None

    def forget(self, app: Sphinx, *_: Any) -> None:
        """Before a build: titles may have changed."""
        self.parts = None

    def offer(self, app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
        """Give a page's template the menu; a page in no part opens the first one."""
        if self.parts is None:
            self.parts = parts(app)
        own = next((part for part in self.parts if part.holds(page)), self.parts[0] if self.parts else None)
        context["kexue_menu"] = [(part, part is own) for part in self.parts]


def setup(app: Sphinx) -> None:
    """Register the menu."""
    menu = _Menu()
    app.connect("env-updated", menu.forget)
    app.connect("html-page-context", menu.offer)
