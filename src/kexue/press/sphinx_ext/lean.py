"""A light site: what the theme brings and no page of this book uses is left out of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from sphinx.highlighting import PygmentsBridge

from kexue.press.site.offline import FRAME

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PLAIN = {Name, Operator, Punctuation, Text, Whitespace}
_RULE = re.compile(r"(?<=[{};])([^{};@]+)\{[^{}]*\}")
_COMMA = re.compile(r",(?![^()]*\))")
_CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")
_WORD = re.compile(r"-?[A-Za-z_][\w-]*")
_LOGOS = (
    "images/logo_binder.svg",
    "images/logo_colab.png",
    "images/logo_deepnote.svg",
    "images/logo_jupyterhub.svg",
)
_UNUSED = (
    "scripts/fontawesome.js",
    "vendor/fontawesome",
    "locales",
    "webpack-macros.html",
    "sbt-webpack-macros.html",
)


class LeanFormatter(HtmlFormatter):  # type: ignore[misc]
    """Pygments' HTML without a span around each name and bracket, which no style of ours colours."""

    def _get_css_classes(self, ttype: Any) -> str:
        return "" if ttype in _PLAIN else str(super()._get_css_classes(ttype))


def _trim(app: Sphinx, failure: Exception | None) -> None:
    if failure is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    shown = app.config.html_theme_options.get("launch_buttons")
    for name in (*_UNUSED, *(() if shown else _LOGOS)):
        path = static / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for source_map in static.rglob("*.map"):
        source_map.unlink()
    words = _words(Path(app.outdir))
    for sheet in static.rglob("*.css"):
        sheet.write_text(used(sheet.read_text(encoding="utf-8"), words), encoding="utf-8")


def _words(site: Path) -> set[str]:
    """Every word of the site's pages and scripts: a class that is none of them styles nothing."""
    found = set(_WORD.findall(FRAME))  # the book in one page, for its PDF
    for path in (*site.rglob("*.html"), *site.rglob("*.js")):
        if path.name != "searchindex.js":
            found.update(_WORD.findall(path.read_text(encoding="utf-8")))
    return found


def used(css: str, words: set[str]) -> str:
    """A style sheet without the rules for classes that occur nowhere.

    Args:
        css: the style sheet.
        words: every word that could be the name of a class.
    """
    css = re.sub(r"@font-face\s*\{[^{}]*(?:Awesome|fontawesome)[^{}]*\}", "", css)

    def lives(selector: str) -> bool:
        positive = re.sub(r":(?:not|is|where|has)\([^()]*\)", "", selector)
        return all(name.replace("\\", "") in words for name in _CLASS.findall(positive))

    def kept(match: re.Match[str]) -> str:
        selectors = _COMMA.split(match[1])
        alive = [one for one in selectors if lives(one)]
        if len(alive) == len(selectors):
            return match[0]
        return ",".join(alive) + match[0][len(match[1]) :] if alive else ""

    return _RULE.sub(kept, re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))


def setup(app: Sphinx) -> None:
    """Take the weight off."""
    PygmentsBridge.html_formatter = LeanFormatter
    app.connect("build-finished", _trim)
