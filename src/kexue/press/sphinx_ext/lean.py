"""A light site: what the theme brings and no page of this book uses is left out of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from sphinx.highlighting import PygmentsBridge

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PLAIN = {Name, Operator, Punctuation, Text, Whitespace}
_LOGOS = (
    "images/logo_binder.svg",
    "images/logo_colab.png",
    "images/logo_deepnote.svg",
    "images/logo_jupyterhub.svg",
)
_UNUSED = (
    "scripts/fontawesome.js",
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
    for unread in (*static.rglob("*.map"), *static.rglob("*.ttf")):  # every browser reads woff2
        unread.unlink()


def setup(app: Sphinx) -> None:
    """Take the weight off."""
    PygmentsBridge.html_formatter = LeanFormatter
    app.connect("build-finished", _trim)
