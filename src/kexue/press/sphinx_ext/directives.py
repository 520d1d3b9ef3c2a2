"""The roles and directives of the book. They only look up what was staged, and fill a template with it.

Roles: `verdict`, `measured`, and `en`, `zh` for words in one language. A directive that only shows staged data is its
template in `templates/pages`; the others are classes below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

from kexue.claims import KINDS, PROFILES, VERDICTS
from kexue.claims.display import measured
from kexue.press.sphinx_ext import library_pages, runs
from kexue.press.sphinx_ext.i18n import both, translated
from kexue.press.sphinx_ext.rendering import html, macro, shown
from kexue.press.sphinx_ext.staged import Chapter, Module, Object, Row, Site

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ENGLISH, CHINESE = ["kx-en"], ["kx-zh", "kx-pair", "language-zh-CN"]


class PageDirective(SphinxDirective):
    """A directive that shows staged data: by itself, the template of its own name."""

    def run(self) -> list[nodes.Node]:
        return [shown(self.name, site=self.site)]

    @property
    def site(self) -> Site:
        """The staged data as this page sees it."""
        return Site(self.env.app, self.env.docname)


class ChapterDirective(PageDirective):
    """A directive that shows staged data of the page's chapter."""

    def run(self) -> list[nodes.Node]:
        return [shown(self.name, site=self.site, chapter=self.chapter)]

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


class Scoreboard(PageDirective):
    """Every claim of the book, with what its filters offer in both languages."""

    def run(self) -> list[nodes.Node]:
        chapters = self.site.chapters
        rows = [{**row, "of": chapter} for chapter in chapters for row in chapter["claims"]]

        def offered(name: str, order: tuple[str, ...]) -> list[tuple[str, str, str]]:
            there = dict.fromkeys(str(row[name]) for row in rows)
            return [(value, value, translated(value)) for value in order or there if value in there]

        filters = {
            "chapter": [(c["slug"], c["title"], c["title_zh"]) for c in chapters if c["claims"]],
            "verdict": offered("verdict", VERDICTS),
            "kind": offered("kind", KINDS),
            "scale": offered("scale", PROFILES),
        }

        def attributes(row: dict[str, Any]) -> dict[str, str]:
            own = {f"data-{name}": row[name] for name in ("verdict", "kind", "scale")}
            return {**own, "data-chapter": row["of"]["slug"]}

        return [shown(self.name, site=self.site, rows=rows, attributes=attributes, filters=filters)]


class ArticleBox(ChapterDirective):
    """The original article, the paper, and a paragraph in Chinese."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        abstract = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, abstract)
        claims = self.chapter["claims"]
        found = f'<div class="kx-found">{macro("bar", claims)}</div>' if claims else ""
        return [*super().run(), abstract, html(f"</details>{found}</section>")]


class KeyPicture(ChapterDirective):
    """The chapter's key figure at the top of its page, where the figure itself comes later (put in by staging)."""

    optional_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        place, alt = next(iter(self.arguments), ""), " ".join(self.content)
        return [shown(self.name, site=self.site, chapter=self.chapter, place=place, alt=alt)]


class DrawnAbove(PageDirective):
    """Where the key figure stood before staging moved it to the top."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [shown(self.name, place=self.arguments[0])]


class Measurement(ChapterDirective):
    """The box where a claim is measured (put in by staging, never written by hand)."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        row = _row(self.chapter, self.arguments[0])
        return [shown(self.name, row=row)] if row else []


class Provenance(ChapterDirective):
    """Where the numbers come from, what they cost, and how to get them again."""

    def run(self) -> list[nodes.Node]:
        slug, profiles = self.chapter["slug"], self.chapter["profiles"]
        commands = [f"$ kexue run {slug} --profile {profile}" for profile in profiles]
        text = "\n".join([*commands, f"$ kexue why {slug}"])
        title = html(f'<p class="kx-again">{both("Run it again:")}</p>')
        return [*super().run(), title, nodes.literal_block(text, text, language="console")]


class Library(ChapterDirective):
    """The source of a library object as it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, site = self.arguments[0], self.site
        found = site.data["library"].get(name)
        if found is None:
            return [shown("library-missing", name=name)]
        commits = (
            run["commit"] for run in self.chapter["runs"] if run.get("commit") and not run.get("dirty")
        )
        source = site.source(found["path"], found["line"], next(commits, None) or "")
        caption = shown("library-source", name=name, found=found, source=source, href=self._page_of(name))
        code = nodes.literal_block(found["source"], found["source"], language="python", classes=["kx-source"])
        return [caption, code]

    def _page_of(self, name: str) -> str:
        """Where the library's pages explain a name; "" where they do not."""
        for module in self.site.modules:
            rest = name.removeprefix(f"{module['name']}.")
            if name == module["name"] or any(found["name"] == rest for found in module["objects"]):
                page = self.site.page(library_pages.docname(module["name"]))
                return page if rest == name else f"{page}#{name}"
        return ""


class LibraryModule(PageDirective):
    """What a module is for, where it lies, which chapters use it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [shown(self.name, site=self.site, module=self.module)]

    @property
    def module(self) -> Module:
        """The module that the first argument names."""
        return next(module for module in self.site.modules if module["name"] == self.arguments[0])


class LibraryObject(LibraryModule):
    """A function or class: its signature, its docstring, its source's place."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        module = self.module
        found: Object = next(one for one in module["objects"] if one["name"] == self.arguments[1])
        place = nodes.target("", "", ids=[f"{module['name']}.{found['name']}"])
        signature = nodes.literal_block(found["signature"], found["signature"], language="python")
        return [place, signature, shown(self.name, site=self.site, module=module, found=found)]


class LibraryOverview(PageDirective):
    """Every module by package, with what it is for and who uses it."""

    def run(self) -> list[nodes.Node]:
        packages: dict[str, list[Module]] = {}
        for module in self.site.modules:
            packages.setdefault(".".join(module["name"].split(".")[:2]), []).append(module)
        return [shown(self.name, site=self.site, packages=packages, docname=library_pages.docname)]


class InOneLanguage(SphinxDirective):
    """Paragraphs in one language, `en` or `zh`, with their translation beside them: the switch hides one."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        block = nodes.container(classes=CHINESE if self.name == "zh" else ENGLISH)
        self.state.nested_parse(self.content, self.content_offset, block)
        return [block]


class WordsInOneLanguage(SphinxRole):
    """Words in one language, `en` or `zh`, with their translation beside them."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.inline("", self.text, classes=CHINESE if self.name == "zh" else ENGLISH)], []


class VerdictRole(SphinxRole):
    """A claim's pooled verdict as a chip in the line of the text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        chapter = Site(self.env.app, self.env.docname).chapter
        row = _row(chapter, self.text)
        if chapter is None or row is None:
            return [_unknown(self.text)], []
        href = f"#claim-{self.text}" if self.text in chapter["measured_at"] else ""
        return [html(macro("chip", row["verdict"], href=href, hint=row["statement"]))], []


class MeasuredRole(SphinxRole):
    """A claim's pooled mean with interval and unit as text."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        row = _row(Site(self.env.app, self.env.docname).chapter, self.text)
        return [nodes.Text(measured(row)) if row else _unknown(self.text)], []


def _row(chapter: Chapter | None, claim: str) -> Row | None:
    return next((row for row in (chapter["claims"] if chapter else ()) if row["id"] == claim), None)


def _unknown(claim: str) -> nodes.Node:
    said = f"no claim named {claim}"
    return nodes.emphasis(said, said, classes=["kx-old"])


def _add_banner(app: Sphinx, doctree: nodes.document) -> None:
    """Say at the top of a chapter what its numbers are not: current, complete, as recorded."""
    chapter = Site(app, app.env.docname).chapter
    title = next(iter(doctree.findall(nodes.title)), None)
    boxes = runs.banners(chapter) if chapter is not None else []
    if title is not None and boxes:
        title.parent.insert(title.parent.index(title) + 1, shown("banner", boxes=boxes))


_DIRECTIVES: dict[type[SphinxDirective], tuple[str, ...]] = {
    PageDirective: (
        "tally",
        "chapter-cards",
        "verdict-key",
        "take-away",
        "speed-table",
        "slowest-cells",
        "benchmark-tables",
        "run-table",
        "data-table",
    ),
    ChapterDirective: ("declared-claims", "verdict-table"),
    Scoreboard: ("scoreboard",),
    ArticleBox: ("article-box",),
    KeyPicture: ("key-picture",),
    DrawnAbove: ("drawn-above",),
    Measurement: ("measurement",),
    Provenance: ("provenance",),
    Library: ("library",),
    LibraryModule: ("library-module",),
    LibraryObject: ("library-object",),
    LibraryOverview: ("library-overview",),
    InOneLanguage: ("en", "zh"),
}


def setup(app: Sphinx) -> None:
    """Register roles and directives with Sphinx."""
    for directive, names in _DIRECTIVES.items():
        for name in names:
            app.add_directive(name, directive)
    for name, role in {
        "verdict": VerdictRole(),
        "measured": MeasuredRole(),
        "en": WordsInOneLanguage(),
        "zh": WordsInOneLanguage(),
    }.items():
        app.add_role(name, role)
    app.connect("doctree-read", _add_banner)
