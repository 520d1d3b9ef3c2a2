"""The pages of the library: one a module, with its functions, what they take and give, and who uses them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from kexue.press.sphinx_ext.directive import PageDirective, html
from kexue.press.sphinx_ext.i18n import both, pair, source_place
from kexue.press.sphinx_ext.math import typeset
from kexue.press.sphinx_ext.staged import Module, Section

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "book/library"
_CODE = re.compile(r"``?([^`]+)``?")
_ARCHIVE = re.compile(r"\b(?:kexue\.fm/)?archives/(\d+)")


def docname(module: str) -> str:
    """The page of a module."""
    return f"{FOLDER}/{module}"


def write_pages(modules: Iterable[Module], folder: Path) -> list[dict[str, Any]]:
    """Write the sources of the library's pages.

    Args:
        modules: what `kexue.press.site.api.library` found.
        folder: the staging tree.

    Returns:
        The entries for the table of contents: an overview, with the modules below it.
    """
    listed = list(modules)
    if not listed:
        return []
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "overview.md").write_text(
        "# {en}`The library` {zh}`代码库`\n\n```{library-overview}\n```\n", encoding="utf-8"
    )
    for module in listed:
        name = module["name"]
        parts = [f"# {name}", f"```{{library-module}} {name}\n```"]
        for found in module["objects"]:
            parts += [
                f"## {found['name']}",
                f"```{{library-object}} {name} {found['name']}\n```",
            ]
        (folder / f"{docname(name)}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    below = [{"file": docname(m["name"]), "title": m["name"].removeprefix("kexue.")} for m in listed]
    return [{"file": f"{FOLDER}/overview", "sections": below}]


def prose(text: str) -> str:
    """A docstring's text as HTML: paragraphs, code, and links to the articles it names."""
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n") if part.strip()]
    return "".join(f"<p>{_inline(part)}</p>" for part in paragraphs)


def _inline(text: str) -> str:
    """One paragraph as HTML; what stands between double dollars is a formula on a line of its own."""
    pieces = text.split("$$")
    if len(pieces) % 2 == 0:
        return _words(text)
    return "".join(_formula(piece) if at % 2 else _words(piece) for at, piece in enumerate(pieces))


def _formula(tex: str) -> str:
    return f'<span class="kx-formula" tabindex="0">{typeset(tex.strip(), display=True)}</span>'


def _words(text: str) -> str:
    marked = _CODE.sub(lambda found: f"<code>{found[1]}</code>", escape(text, quote=False))
    return _ARCHIVE.sub(
        lambda found: f'<a href="https://kexue.fm/archives/{found[1]}">{found[0]}</a>', marked
    )


def sections(listed: Iterable[Section]) -> str:
    """A docstring's sections as HTML."""
    shown = []
    for section in listed:
        title = f'<p class="kx-section">{both(section["title"])}</p>' if section["title"] else ""
        items = "".join(
            f"<dt>{f'<code>{escape(name)}</code>' if name else ''}</dt><dd>{_inline(' '.join(text.split()))}</dd>"
            for name, text in section["items"]
        )
        shown.append(f"{title}{prose(section['text'])}{f'<dl>{items}</dl>' if items else ''}")
    return f'<div class="kx-docstring">{"".join(shown)}</div>'


class _LibraryPage(PageDirective):
    def _module(self, name: str) -> Module:
        return next(m for m in self.site.data["reference"] if m["name"] == name)

    def _source(self, path: str, line: int) -> str:
        where, href = source_place(path, line), self.site.source(path, line, "")
        return f'<a href="{escape(href)}">{where}</a>' if href else where

    def _chapters(self, slugs: Iterable[str]) -> str:
        site, wanted = self.site, set(slugs)
        links = [
            f'<a href="{escape(site.page(c["docname"]))}">{pair(c["title"], c["title_zh"], "span")}</a>'
            for c in site.chapters
            if c["slug"] in wanted
        ]
        return " · ".join(links)


class LibraryModule(_LibraryPage):
    """What a module is for, where it lies, which chapters use it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self._module(self.arguments[0])
        used = self._chapters(module["chapters"])
        said = f'<p class="kx-used">{both("Used in", "用于")} {used}</p>' if used else ""
        place = f'<p class="kx-origin">{self._source(module["path"], 1)}</p>'
        return [html(f"{prose(module['text'])}{place}{said}")]


class LibraryObject(_LibraryPage):
    """A function or class: its signature, its docstring, its source's place."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        module = self._module(self.arguments[0])
        found = next(one for one in module["objects"] if one["name"] == self.arguments[1])
        members = "".join(
            f"<dt><code>{escape(one['name'])}{'' if one['property'] else '(…)'}</code></dt><dd>{sections(one['sections'])}</dd>"
            for one in found["members"]
        )
        below = f'<dl class="kx-members">{members}</dl>' if members else ""
        place = f'<p class="kx-origin">{self._source(module["path"], found["line"])}</p>'
        signature = nodes.literal_block(found["signature"], found["signature"], language="python")
        anchor = f'<span id="{escape(module["name"])}.{escape(found["name"])}"></span>'
        return [html(anchor), signature, html(sections(found["sections"]) + below + place)]


class LibraryOverview(_LibraryPage):
    """Every module by package, with what it is for and who uses it."""

    def run(self) -> list[nodes.Node]:
        packages: dict[str, list[Module]] = {}
        for module in self.site.data["reference"]:
            packages.setdefault(".".join(module["name"].split(".")[:2]), []).append(module)
        shown = []
        for package, modules in packages.items():
            rows = "".join(
                f'<dt><a href="{escape(self.site.page(docname(m["name"])))}"><code>{escape(m["name"])}</code></a></dt>'
                f"<dd>{_inline(m['text'].split(chr(10) + chr(10))[0])}"
                f"{f'<div class=kx-origin>{used}</div>' if (used := self._chapters(m['chapters'])) else ''}</dd>"
                for m in modules
            )
            shown.append(
                f'<section aria-label="{escape(package)}"><dl class="kx-modules">{rows}</dl></section>'
            )
        return [html("".join(shown))]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    for name, directive in {
        "library-module": LibraryModule,
        "library-object": LibraryObject,
        "library-overview": LibraryOverview,
    }.items():
        app.add_directive(name, directive)
