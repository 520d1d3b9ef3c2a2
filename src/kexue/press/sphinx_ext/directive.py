"""What the book's directives have in common: they show staged data."""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kexue.press.sphinx_ext.staged import Chapter, Site


def html(text: str) -> nodes.raw:
    """HTML as a node."""
    return nodes.raw("", text, format="html")


class PageDirective(SphinxDirective):
    """A directive that shows staged data."""

    @property
    def site(self) -> Site:
        """The staged data as this page sees it."""
        return Site(self.env.app, self.env.docname)

    @property
    def chapter(self) -> Chapter:
        """The chapter of this page.

        Raises:
            docutils' error at the line, when this page is no chapter.
        """
        chapter = self.site.chapter
        if chapter is None:
            raise self.error(f"{self.name} belongs into a chapter; {self.env.docname} is none")
        return chapter
