"""The book's Markdown as any notebook shows it: parsed by MyST's own parser, written by mdformat.

What only this site understands is said in plain Markdown: a verdict as its word, a note as a quotation, a library source
as code. A kind that is not known here keeps its text and is reported by line; nothing is dropped without a word.
"""

from __future__ import annotations

import base64
import csv
import mimetypes
import posixpath
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import yaml
from docutils.parsers.rst import Directive
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdformat.renderer import DEFAULT_RENDERERS, MDRenderer, RenderTreeNode
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.directives import parse_directive_text
from myst_parser.parsers.mdit import create_md_parser

from kexue.claims.display import measured
from kexue.press.site import markdown_forms as forms
from kexue.press.site.excerpt import excerpt

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition

_NOTES = re.compile("attention|caution|danger|error|hint|important|note|seealso|tip|warning")
_TITLED = re.compile("admonition|dropdown|topic|sidebar|tab-item|card|grid-item-card")
_FRAMES = re.compile(
    "en|zh|container|div|tab-set|grid|grid-item|margin|epigraph|highlights|pull-quote|compound"
)
_CODE = re.compile("code|code-block|sourcecode")
_VERBATIM = re.compile(
    "code|code-block|sourcecode|image|figure|math|library"
)  # their argument is no Markdown
_LITERAL = re.compile("code|file|kbd|command|guilabel|menuselection|samp|program|option|envvar")
_WORDS = re.compile("abbr|dfn|download|term|ref|numref|any|cite|sub|sup|en|zh|emphasis|strong")


class _AnyDirective(Directive):
    """A directive of which only its form is known: one argument, options, content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"any": str}


class PlainMarkdown:
    """Translates the Markdown of one chapter.

    Args:
        edition: the chapter with its measurements.
        root: the book's folder.
        site: the address of the site, or "".
        executed: the chapters that lie beside it as notebooks, by their names in Sphinx.
    """

    def __init__(
        self, edition: ChapterEdition, root: Path, site: str = "", executed: Collection[str] = ()
    ) -> None:
        self.edition, self.root, self.site, self.executed = edition, root, site, executed
        self.rows = {row["id"]: row for row in edition.claims}
        self.problems: list[str] = []
        self.attachments: dict[str, dict[str, str]] = {}
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")) or {}
        extensions = (config.get("parse") or {}).get("myst_enable_extensions") or ()
        self._parser = create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)
        self._line = 0
        self._renderers: dict[str, forms.Render] = {
            **dict.fromkeys(
                ("front_matter", "myst_line_comment", "myst_block_break", "myst_target"), forms.nothing
            ),
            **dict.fromkeys(("fence", "colon_fence"), self._fence),
            "dl": forms.children("\n\n"),
            "span": forms.children(""),
            "dt": lambda node, context: f"**{forms.children('')(node, context)}**",
            "dd": DEFAULT_RENDERERS["blockquote"],
            "footnote_ref": lambda node, _: f"<sup>{node.meta['label']}</sup>",
            "footnote_reference": lambda node, context: (
                f"<sup>{node.meta['label']}</sup> {forms.children(chr(10) * 2)(node, context)}"
            ),
            "html_block": self._html,
            "html_inline": self._html,
            "image": self._image,
            "link": self._link,
            "table": forms.parsed_table,
            "math_inline": lambda node, _: f"${node.content}$",
            "math_inline_double": lambda node, _: f"$${node.content}$$",
            "math_block": lambda node, _: forms.displayed(node.content),
            "math_block_label": lambda node, _: forms.displayed(node.content, node.info),
            "amsmath": lambda node, _: node.content.strip("\n"),
            "myst_role": self._role,
        }
        self._known = {*DEFAULT_RENDERERS, *self._renderers, *_TABLE_PARTS}
        no_formula = {"text": lambda text, node, context: text.replace("$", "\\$")}
        self._plugin = SimpleNamespace(RENDERERS=self._renderers, POSTPROCESSORS=no_formula)

    def translate(self, text: str, line: int) -> str:
        """A cell in plain Markdown.

        Args:
            text: the cell.
            line: the 0-based line of the chapter's text where it begins.
        """
        outer, self._line = self._line, line
        try:
            tokens = self._parser.parse(text, {})
            for token in _every(tokens):
                kind = re.sub(r"_(open|close)$", "", token.type)
                if kind not in self._known:
                    self._tell(token, f"Markdown of the kind {kind!r} has no form")
                    self._renderers[kind] = lambda node, context: (
                        forms.children("\n\n")(node, context) if node.children else node.content
                    )
            options = {**self._parser.options, "parser_extension": [self._plugin]}
            return MDRenderer().render(tokens, options, {}, finalize=False)
        finally:
            self._line = outer

    def _tell(self, node: Any, what: str) -> None:
        line = self._line + (node.map[0] if getattr(node, "map", None) else 0) + 1
        name = self.edition.chapter.path.relative_to(self.root).as_posix()
        self.problems.append(f"{name}:{line}: {what} in the reader's notebook")

    # Directives

    def _fence(self, node: Any, context: Any) -> str:
        """A fence: code, or a directive in plain Markdown."""
        directive = re.match(r"\{([^}\s]+)\}[ ]*(.*)", node.info.strip())
        first = self._line + (node.map[0] if node.map else 0) + 1
        if directive is None:
            div = node.type == "colon_fence"
            return self.translate(node.content, first) if div else DEFAULT_RENDERERS["fence"](node, context)
        name, argument = directive[1], directive[2].strip()
        nested = node.content.startswith(":::")  # and no options, as MyST has it
        content = f"\n{node.content}" if nested else node.content
        found = parse_directive_text(_AnyDirective, argument, content, validate_options=False)
        body = "\n".join(found.body)

        def inner(text: str) -> str:
            return self.translate(text, first + found.body_offset - nested)

        strong = f"**{inner(argument)}**" if argument and not _VERBATIM.fullmatch(name) else ""
        match name:
            case _ if _NOTES.fullmatch(name):
                return forms.quoted(f"**{name.capitalize()}**", inner(argument), inner(body))
            case _ if _TITLED.fullmatch(name):
                return forms.quoted(strong, inner(body))
            case _ if _FRAMES.fullmatch(name):
                return inner(body)
            case _ if _CODE.fullmatch(name):
                return forms.code(body, argument)
            case "rubric":
                return strong
            case "math":
                return forms.displayed(body or argument, str(found.options.get("label", "")))
            case "image" | "figure":
                alt = str(found.options.get("alt", ""))
                return forms.below(self._picture(node, argument, alt), inner(body))
            case "table":
                return forms.below(strong, inner(body))
            case "list-table" | "csv-table":
                rows = self._listed(body) if name == "list-table" else self._separated(found.body)
                table = forms.table(rows, headed=bool(found.options.get("header-rows")))
                return forms.below(strong, table)
            case "article-box":
                article = self.edition.chapter.article
                head = f"**{article['title']}** ({article['date']}): <{article['url']}>"
                return forms.quoted(head, inner(body))
            case "library":
                shown = excerpt(self.root, argument)
                return (
                    f"`{argument}`\n\n{forms.code(shown['source'], 'python')}" if shown else f"`{argument}`"
                )
            case "verdict-table":
                listed = [[row["verdict"], row["statement"], measured(row)] for row in self.rows.values()]
                return forms.table([["verdict", "claim", "measured"], *listed], headed=True)
            case "provenance":
                return f"Run it again: `kexue run {self.edition.chapter.slug}`."
            case _:
                self._tell(node, f"the directive {name!r} has no form")
                return forms.quoted(strong, forms.code(node.content))

    def _listed(self, body: str) -> list[list[str]]:
        """The rows of a list of lists."""
        tree = RenderTreeNode(self._parser.parse(body, {}))
        rows = [item for outer in tree.children for item in outer.children]
        texts = body.split("\n")

        def cell(item: Any) -> str:
            begin, end = item.map
            first, *rest = texts[begin:end]
            lines = [re.sub(r"^(\s*[*+-])+ ?", "", first), *rest]
            return self.translate("\n".join(line.strip() for line in lines), self._line)

        return [[cell(item) for inner in row.children for item in inner.children] for row in rows]

    def _separated(self, body: list[str]) -> list[list[str]]:
        return [[self.translate(cell, self._line) for cell in row] for row in csv.reader(body)]

    # In the line

    def _role(self, node: Any, context: Any) -> str:
        name, text = node.meta["name"], node.content
        words, _, target = text.rpartition("<")
        words = words.strip()
        if name == "verdict":
            return f"**{self.rows[text]['verdict']}**" if text in self.rows else f"`{text}`"
        if name == "measured":
            return measured(self.rows[text]) if text in self.rows else f"`{text}`"
        if name.startswith("glue"):
            return forms.glued(self.edition, text)
        if name == "math":
            return f"${text}$"
        if name == "eq":
            return f"({text})"
        if name == "doc":
            target = target.rstrip(">") if words else text
            return self._linked(words or f"`{text}`", f"{target}.md")
        if _LITERAL.fullmatch(name):
            return f"`{text}`"
        if not _WORDS.fullmatch(name):
            self._tell(node, f"the role {name!r} has no form")
        return words if words else f"`{text}`" if name in ("ref", "numref", "any", "cite") else text

    def _link(self, node: Any, context: Any) -> str:
        href = str(node.attrs["href"])
        if node.info == "auto" and not href.startswith(("project:", "path:")):
            return DEFAULT_RENDERERS["link"](node, context)
        return self._linked(forms.children("")(node, context), href, str(node.attrs.get("title") or ""))

    def _linked(self, words: str, href: str, title: str = "") -> str:
        """A link as it holds in a folder of notebooks: to a notebook, else to the site, else only its words."""
        named = f' "{title}"' if title else ""
        split = urlsplit(href)
        if split.scheme not in ("", "project", "path") or split.netloc:
            return f"[{words}]({href}{named})"
        target = self._place(split.path)
        document, suffix = posixpath.splitext(target)
        if not split.path or suffix not in (".md", ".ipynb"):
            return words
        if document in self.executed:
            beside = posixpath.relpath(document, posixpath.dirname(self.edition.chapter.docname))
            return f"[{words}]({quote(beside)}.ipynb{named})"
        anchor = f"#{split.fragment}" if split.fragment else ""
        return f"[{words}]({self.site}{quote(document)}.html{anchor}{named})" if self.site else words

    def _place(self, path: str) -> str:
        """A path as the chapter names it, from the book's folder."""
        folder = "" if path.startswith("/") else posixpath.dirname(self.edition.chapter.docname)
        return posixpath.normpath(posixpath.join(folder, unquote(path).lstrip("/")))

    def _image(self, node: Any, context: Any) -> str:
        alt = "".join(child.content for child in node.children)
        return self._picture(node, str(node.attrs["src"]), alt)

    def _picture(self, node: Any, source: str, alt: str) -> str:
        """A picture that travels inside the notebook."""
        if urlsplit(source).scheme:
            return f"![{alt}]({source})"
        path = self.root / self._place(source)
        if not path.is_file():
            self._tell(node, f"there is no picture {source!r}, so there is none")
            return f"*({alt or source})*"
        name = f"picture-{len(self.attachments) + 1}{path.suffix}"
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.attachments[name] = {kind: base64.b64encode(path.read_bytes()).decode()}
        return f"![{alt}](attachment:{name})"

    def _html(self, node: Any, context: Any) -> str:
        if 'class="task-list-item-checkbox"' in node.content:
            return "[x]" if "checked" in node.content else "[ ]"
        if re.search(r'<img\b[^>]*\bsrc=["\']?(?!\w+:)', node.content):
            self._tell(node, "a picture of the book in <img> is not to be seen (write ![words](file))")
        return DEFAULT_RENDERERS[node.type](node, context)


_TABLE_PARTS = {"thead", "tbody", "tr", "th", "td"}


def _every(tokens: Sequence[Token]) -> Any:
    for token in tokens:
        yield token
        yield from _every(token.children or ())
