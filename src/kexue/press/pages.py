"""The Sphinx extension of the book: what a page shows of claims, verdicts, runs and the library.

It only looks up what was staged in `_kexue/site.json`; it imports no science, runs nothing, asks no network.
Roles: `verdict`, `measured`. Directives for chapters: `article-box`, `library`, `measurement`,
`declared-claims`, `verdict-table`, `provenance`; for the pages about the book: `tally`, `chapter-cards`,
`scoreboard`, `verdict-key`.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from kexue.claims.display import measured
from kexue.press import cards, markup, provenance
from kexue.press.site import Site


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


class _Page(SphinxDirective):
    """A directive that shows staged data."""

    @property
    def site(self) -> Site:
        return Site(self.env.app, self.env.docname)

    @property
    def chapter(self) -> dict[str, Any]:
        """The chapter of this page.

        Raises:
            docutils' error at the line, when this page is no chapter.
        """
        chapter: dict[str, Any] | None = self.site.chapter
        if chapter is None:
            raise self.error(f"{self.name} belongs into a chapter; {self.env.docname} is none")
        return chapter


class ArticleBox(_Page):
    """The original article, the paper, and a paragraph in Chinese."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        origin = f'<section class="kx-article" aria-label="Original article">{cards.origin(self.chapter)}'
        opened = _html(f'{origin}<div lang="zh-CN">')
        abstract = nodes.container(classes=["kx-abstract"])
        self.state.nested_parse(self.content, self.content_offset, abstract)
        return [opened, abstract, _html("</div></section>")]


class Library(_Page):
    """The source of a library object as it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        found = self.site.data["library"].get(name)
        if found is None:
            return [_html(f'<p class="kx-none">The library has no <code>{escape(name)}</code> any more.</p>')]
        commit = next((run["commit"] for run in (self.chapter["runs"]) if not run.get("dirty")), "") or ""
        href = self.site.source(found["path"], found["line"], commit)
        where = f"{escape(found['path'])}, line {found['line']}"
        place = f'<a href="{escape(href)}">{where}</a>' if href else where
        caption = _html(f'<div class="kx-library"><code>{escape(name)}</code> <span>{place}</span></div>')
        return [
            caption,
            nodes.literal_block(found["source"], found["source"], language="python", classes=["kx-source"]),
        ]


class Measurement(_Page):
    """The box where a claim is measured (put in by staging, never written by hand)."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        row = _row(self.chapter, self.arguments[0])
        return [_html(markup.measurement(row))] if row else []


class DeclaredClaims(_Page):
    """The claims before any measurement (put in by staging, never written by hand)."""

    def run(self) -> list[nodes.Node]:
        return [_html(markup.declared(self.chapter["claims"]))]


class VerdictTable(_Page):
    """All claims of the chapter with what was measured, and frozen full-scale numbers beside it."""

    def run(self) -> list[nodes.Node]:
        chapter, site = self.chapter, self.site
        full = chapter["frozen"].get("full") or {}
        table = markup.verdict_table(
            chapter["claims"],
            {row["id"]: row for row in full.get("claims", ())},
            profile=chapter["profile"],
            older_code=bool(full.get("older_code")),
            place=lambda claim: site.claim(chapter["slug"], claim) if claim in chapter["measured_at"] else "",
        )
        return [_html(markup.bar(chapter["claims"]) + table)]


class Provenance(_Page):
    """Where the numbers come from, what they cost, and how to get them again."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        commands = provenance.commands(chapter)
        again = nodes.literal_block(commands, commands, language="console")
        return [_html(provenance.facts(chapter)), _html('<p class="kx-again">Run it again:</p>'), again]


class Tally(_Page):
    """The number of claims by verdict over the whole book."""

    def run(self) -> list[nodes.Node]:
        rows = [row for chapter in self.site.chapters for row in chapter["claims"]]
        return [_html(markup.tally(rows, href=self.site.page("book/scoreboard")))]


class ChapterCards(_Page):
    """A card for each chapter."""

    def run(self) -> list[nodes.Node]:
        site = self.site
        listed = "".join(cards.card(site, chapter) for chapter in site.chapters)
        return [_html(f'<div class="kx-cards">{listed}</div>')]


class Scoreboard(_Page):
    """Every claim of the book."""

    def run(self) -> list[nodes.Node]:
        site = self.site

        def address(slug: str, claim: str) -> str:
            return site.claim(slug, claim)

        return [_html(markup.scoreboard(site.chapters, address))]


class VerdictKey(_Page):
    """The four verdicts with an example interval each."""

    def run(self) -> list[nodes.Node]:
        return [_html(markup.key())]


class VerdictRole(SphinxRole):
    """A claim's pooled verdict as a chip in the line of the text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        site = Site(self.env.app, self.env.docname)
        row = _row(site.chapter, self.text)
        if row is None:
            return [_html(_unknown(self.text))], []
        placed = site.chapter is not None and self.text in site.chapter["measured_at"]
        chip = markup.chip(
            row["verdict"], href=f"#claim-{self.text}" if placed else "", hint=row["statement"]
        )
        return [_html(chip)], []


class MeasuredRole(SphinxRole):
    """A claim's pooled mean with interval and unit as text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        row = _row(Site(self.env.app, self.env.docname).chapter, self.text)
        return [nodes.Text(measured(row)) if row else _html(_unknown(self.text))], []


def _row(chapter: dict[str, Any] | None, claim: str) -> dict[str, Any] | None:
    return next((row for row in (chapter or {"claims": ()})["claims"] if row["id"] == claim), None)


def _unknown(claim: str) -> str:
    return f'<em class="kx-old">no claim named {escape(claim)}</em>'


def _add_banner(app: Sphinx, doctree: nodes.document) -> None:
    """Say at the top of a chapter what its numbers are not: current, complete, as recorded."""
    chapter = Site(app, app.env.docname).chapter
    title = next(iter(doctree.findall(nodes.title)), None)
    if chapter is None or title is None:
        return
    text = provenance.banner(chapter)
    if text:
        title.parent.insert(title.parent.index(title) + 1, _html(text))


def _load_mathjax_only_for_formulas(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Keep the largest script off the pages that have no formula."""
    if doctree is None or not any(
        doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))
    ):
        scripts = context.get("script_files", ())
        context["script_files"] = [script for script in scripts if "mathjax" not in str(script.filename)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles and directives with Sphinx."""
    directives = {
        "article-box": ArticleBox,
        "library": Library,
        "measurement": Measurement,
        "declared-claims": DeclaredClaims,
        "verdict-table": VerdictTable,
        "provenance": Provenance,
        "tally": Tally,
        "chapter-cards": ChapterCards,
        "scoreboard": Scoreboard,
        "verdict-key": VerdictKey,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    app.add_role("verdict", VerdictRole())
    app.add_role("measured", MeasuredRole())
    app.connect("doctree-read", _add_banner)
    app.connect("html-page-context", _load_mathjax_only_for_formulas, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
