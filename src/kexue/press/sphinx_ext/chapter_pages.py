"""The Sphinx extension of the book: what a page shows of claims, verdicts, runs and the library.

It only looks up what was staged in `_kexue/site.json`; it imports no science, runs nothing, asks no network.
Roles: `verdict`, `measured`. Directives for chapters: `article-box`, `library`, `measurement`,
`declared-claims`, `verdict-table`, `provenance`, `key-picture`, `drawn-above`. Those of the pages about the book are in
`kexue.press.sphinx_ext.book_pages`; how a page looks, in `kexue.press.sphinx_ext.theme`.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from kexue.claims.display import measured
from kexue.press.sphinx_ext import book_pages, cards, library_pages, markup, provenance, run_pages, theme
from kexue.press.sphinx_ext.directive import PageDirective, html
from kexue.press.sphinx_ext.i18n import both, source_place
from kexue.press.sphinx_ext.staged import Chapter, Row, Site


class ArticleBox(PageDirective):
    """The original article, the paper, and a paragraph in Chinese."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        origin = f'<section class="kx-article" aria-label="Original article">{cards.origin(chapter)}'
        summary = f'<summary>{both("Abstract in Chinese", "摘要")} <span class="kx-if-en" lang="zh-CN">摘要</span></summary>'
        opened = html(f'{origin}<details class="kx-abstract" lang="zh-CN">{summary}')
        abstract = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, abstract)
        found = f'<div class="kx-found">{markup.bar(chapter["claims"])}</div>' if chapter["claims"] else ""
        return [opened, abstract, html(f"</details>{found}</section>")]


class KeyPicture(PageDirective):
    """The chapter's key figure at the top of its page, where the figure itself comes later (put in by staging)."""

    optional_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        source = self.site.static(f"figures/{self.chapter['thumbnail']}")
        picture = f'<img src="{escape(source)}" alt="{escape(" ".join(self.content))}">'
        href = f' href="#{escape(self.arguments[0])}"' if self.arguments else ""
        return [html(f'<a class="kx-key-figure"{href}>{picture}</a>')]


class DrawnAbove(PageDirective):
    """Where the key figure stood before staging moved it to the top."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        words = both("↑ The picture is drawn at the top of this page.", "↑ 图见页首。")
        return [html(f'<p class="kx-above"><a href="#{escape(self.arguments[0])}">{words}</a></p>')]


class Library(PageDirective):
    """The source of a library object as it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        found = self.site.data["library"].get(name)
        if found is None:
            code = f"<code>{escape(name)}</code>"
            gone = f"{both('The library no longer has ', '代码库中已没有 ')}{code}"
            return [html(f'<p class="kx-none">{gone}</p>')]
        commit = next((run["commit"] for run in (self.chapter["runs"]) if not run.get("dirty")), "") or ""
        href = self.site.source(found["path"], found["line"], commit)
        where = source_place(found["path"], found["line"])
        place = f'<a href="{escape(href)}">{where}</a>' if href else where
        caption = html(f'<div class="kx-library">{self._documented(name)} <span>{place}</span></div>')
        return [
            caption,
            nodes.literal_block(found["source"], found["source"], language="python", classes=["kx-source"]),
        ]

    def _documented(self, name: str) -> str:
        """The name, linked to where the library's pages explain it."""
        code = f"<code>{escape(name)}</code>"
        for module in self.site.data["reference"]:
            rest = name.removeprefix(f"{module['name']}.")
            if name == module["name"] or any(found["name"] == rest for found in module["objects"]):
                anchor = f"#{name}" if rest != name else ""
                href = self.site.page(library_pages.docname(module["name"])) + anchor
                return f'<a href="{escape(href)}">{code}</a>'
        return code


class Measurement(PageDirective):
    """The box where a claim is measured (put in by staging, never written by hand)."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        row = _row(self.chapter, self.arguments[0])
        return [html(markup.measurement(row))] if row else []


class DeclaredClaims(PageDirective):
    """The claims before any measurement (put in by staging, never written by hand)."""

    def run(self) -> list[nodes.Node]:
        return [html(markup.declared(self.chapter["claims"]))]


class VerdictTable(PageDirective):
    """All claims of the chapter with what was measured, and frozen full-scale numbers beside it."""

    def run(self) -> list[nodes.Node]:
        chapter, site = self.chapter, self.site
        full = chapter["frozen"].get("full")
        table = markup.verdict_table(
            chapter["claims"],
            {row["id"]: row for row in (full["claims"] if full else ())},
            profile=chapter["profile"],
            older_code=bool(full and full["older_code"]),
            place=lambda claim: site.claim(chapter["slug"], claim) if claim in chapter["measured_at"] else "",
        )
        return [html(markup.bar(chapter["claims"]) + table)]


class Provenance(PageDirective):
    """Where the numbers come from, what they cost, and how to get them again."""

    def run(self) -> list[nodes.Node]:
        chapter = self.chapter
        commands = provenance.commands(chapter)
        again = nodes.literal_block(commands, commands, language="console")
        title = f'<p class="kx-again">{both("Run it again:")}</p>'
        return [html(provenance.facts(chapter)), html(title), again]


class VerdictRole(SphinxRole):
    """A claim's pooled verdict as a chip in the line of the text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        site = Site(self.env.app, self.env.docname)
        row = _row(site.chapter, self.text)
        if row is None:
            return [html(_unknown(self.text))], []
        placed = site.chapter is not None and self.text in site.chapter["measured_at"]
        chip = markup.chip(
            row["verdict"], href=f"#claim-{self.text}" if placed else "", hint=row["statement"]
        )
        return [html(chip)], []


class MeasuredRole(SphinxRole):
    """A claim's pooled mean with interval and unit as text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        row = _row(Site(self.env.app, self.env.docname).chapter, self.text)
        return [nodes.Text(measured(row)) if row else html(_unknown(self.text))], []


def _row(chapter: Chapter | None, claim: str) -> Row | None:
    return next((row for row in (chapter["claims"] if chapter else ()) if row["id"] == claim), None)


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
        title.parent.insert(title.parent.index(title) + 1, html(text))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles and directives with Sphinx."""
    directives = {
        "article-box": ArticleBox,
        "library": Library,
        "measurement": Measurement,
        "declared-claims": DeclaredClaims,
        "verdict-table": VerdictTable,
        "provenance": Provenance,
        "key-picture": KeyPicture,
        "drawn-above": DrawnAbove,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    app.add_role("verdict", VerdictRole())
    app.add_role("measured", MeasuredRole())
    app.connect("doctree-read", _add_banner)
    for part in (book_pages, run_pages, library_pages, theme):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
