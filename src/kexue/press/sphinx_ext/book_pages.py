"""The directives of the pages about the book: the tally, the chapters' cards, the scoreboard, the key to the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes

from kexue.press.sphinx_ext import cards, markup
from kexue.press.sphinx_ext.directive import PageDirective, html
from kexue.press.sphinx_ext.i18n import both
from kexue.press.sphinx_ext.staged import OFFLINE_NAME

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Tally(PageDirective):
    """The number of claims by verdict over the whole book."""

    def run(self) -> list[nodes.Node]:
        rows = [row for chapter in self.site.chapters for row in chapter["claims"]]
        return [html(markup.tally(rows, href=self.site.page("book/scoreboard")))]


class ChapterCards(PageDirective):
    """A card for each chapter."""

    def run(self) -> list[nodes.Node]:
        site = self.site
        listed = "".join(cards.card(site, chapter) for chapter in site.chapters)
        return [html(f'<div class="kx-cards">{listed}</div>')]


class Scoreboard(PageDirective):
    """Every claim of the book."""

    def run(self) -> list[nodes.Node]:
        site = self.site

        def address(slug: str, claim: str) -> str:
            return site.claim(slug, claim)

        return [html(markup.scoreboard(site.chapters, address))]


class VerdictKey(PageDirective):
    """The four verdicts with an example interval each."""

    def run(self) -> list[nodes.Node]:
        return [html(markup.key())]


class TakeAway(PageDirective):
    """The site as one zip, and the book as one PDF where it has been printed."""

    def run(self) -> list[nodes.Node]:
        up = "../" * self.env.docname.count("/")
        offers = [
            (
                "zip",
                both(
                    "This site as one zip: unpack it and open index.html", "本站压缩包：解压后打开 index.html"
                ),
            )
        ]
        if self.site.data["pdf"]:
            offers.insert(0, ("pdf", both("The book as one PDF", "全书 PDF")))
        links = "".join(
            f'<li><a href="{up}{OFFLINE_NAME}.{ending}">{words}</a></li>' for ending, words in offers
        )
        return [html(f'<ul class="kx-take-away">{links}</ul>')]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    directives = {
        "tally": Tally,
        "chapter-cards": ChapterCards,
        "scoreboard": Scoreboard,
        "verdict-key": VerdictKey,
        "take-away": TakeAway,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
