"""The prose of docstrings as HTML: paragraphs, code, formulas, links to the articles it names."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from kexue.press.sphinx_ext.math import typeset

# Code comes first: what stands in it is neither formula nor link.
_PIECES = re.compile(
    r"``?(?P<code>[^`]+)``?|\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\s](?:[^$]*[^$\s])?)\$(?!\d)|\b(?:kexue\.fm/)?archives/(?P<article>\d+)"
)


def prose(text: str) -> Markup:
    """A docstring's text: its paragraphs."""
    paragraphs = [part for part in text.strip().split("\n\n") if part.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(inline(part)) for part in paragraphs)


def inline(text: str) -> Markup:
    """One paragraph; what stands between double dollars is a formula on a line of its own."""
    shown, at = Markup(""), 0
    text = " ".join(text.split())
    for found in _PIECES.finditer(text):
        shown += escape(text[at : found.start()]) + _piece(found)
        at = found.end()
    return shown + escape(text[at:])


def _piece(found: re.Match[str]) -> Markup:
    if found["code"]:
        return Markup("<code>{}</code>").format(found["code"])
    if found["display"]:
        formula = Markup(typeset(found["display"].strip(), display=True))
        return Markup('<span class="kx-formula" tabindex="0">{}</span>').format(formula)
    if found["inline"]:
        return Markup(typeset(found["inline"]))
    href = f"https://kexue.fm/archives/{found['article']}"
    return Markup('<a href="{}">{}</a>').format(href, found[0])
