"""Formulas are set when the site is built, by KaTeX in an embedded V8: no script on the page, none to wait for.

Each formula becomes HTML with MathML beside it for screen readers. One that KaTeX does not know is a warning at its
place in the text, and so ends the build.
"""

from __future__ import annotations

import atexit
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

_LOG = logging.getLogger(__name__)
_KATEX = Path(__file__).with_name("katex.min.js")
_SETTER = """
globalThis.set = (tex, displayMode) => {
  try { return {html: katex.renderToString(tex, {displayMode, strict: "error", trust: false, maxExpand: 1000})}; }
  catch (error) { return {error: String(error.message)}; }
};
"""


class FormulaError(ValueError):
    """A formula that KaTeX does not understand."""


@cache
def _engine() -> Any:
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    atexit.register(
        engine.close
    )  # V8 left to the interpreter's own exit waits for a thread that is gone: a hang
    engine.eval(_KATEX.read_text(encoding="utf-8") + ";0")  # the value of a script must be a plain one
    engine.eval(_SETTER + "0")
    return engine


@cache
def typeset(tex: str, *, display: bool = False) -> str:
    """A formula as HTML.

    Args:
        tex: the formula, without dollars.
        display: whether it stands on a line of its own.

    Raises:
        FormulaError: for a formula that KaTeX does not understand, with what it says about it.
    """
    done = dict(_engine().call("set", tex, display))
    if "error" in done:
        raise FormulaError(done["error"])
    return str(done["html"])


def _typeset(self: HTML5Translator, node: nodes.Element, *, display: bool) -> str:
    tex = node.astext().strip()
    if display and "\\\\" in tex and "\\begin{" not in tex:
        tex = f"\\begin{{split}}{tex}\\end{{split}}"  # as Sphinx has it for MathJax
    try:
        return typeset(tex, display=display)
    except FormulaError as error:
        _LOG.warning("formula %r: %s", tex, error, location=node, type="kexue", subtype="formula")
        return f"<code>{escape(tex)}</code>"


def _visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{_typeset(self, node, display=False)}</span>')
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    html = _typeset(self, node, display=True)
    self.body.append(f'<div class="kx-formula" tabindex="0">{html}</div></div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Make KaTeX the way formulas are set, on every page that has one."""
    app.add_html_math_renderer("kexue", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "kexue"
