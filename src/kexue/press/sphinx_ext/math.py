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
from sphinx.errors import ConfigError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.writers.html5 import HTML5Translator

_LOG = logging.getLogger(__name__)
_KATEX = Path(__file__).with_name("katex.min.js")
_SETTER = """
globalThis.set = (tex, displayMode, macros) => {
  try { return {html: katex.renderToString(tex, {displayMode, macros: Object.fromEntries(macros), strict: "error", trust: false, maxExpand: 1000})}; }
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
def typeset(tex: str, *, display: bool = False, macros: tuple[tuple[str, str], ...] = ()) -> str:
    """A formula as HTML.

    Args:
        tex: the formula, without dollars.
        display: whether it stands on a line of its own.
        macros: names with their backslash, and what each stands for; `#1` is the first argument.

    Raises:
        FormulaError: for a formula that KaTeX does not understand, with what it says about it.
    """
    done = dict(_engine().call("set", tex, display, macros))
    if "error" in done:
        raise FormulaError(done["error"])
    return str(done["html"])


def macros_of(config: Config) -> tuple[tuple[str, str], ...]:
    """The book's own TeX macros: those of `kexue_macros`, and of `mathjax3_config` as MathJax has them.

    Raises:
        ConfigError: for a macro that is no text, nor MathJax's list of a text and a number of arguments.
    """
    listed = ((config.mathjax3_config or {}).get("tex") or {}).get("macros") or {}
    found = []
    for name, meaning in {**listed, **(config.kexue_macros or {})}.items():
        text = meaning[0] if isinstance(meaning, list) and meaning else meaning
        if not isinstance(text, str):
            raise ConfigError(
                f"_config.yml: TeX macro {name!r} must be a text such as '\\mathbb{{R}}', got {meaning!r}"
            )
        found.append((f"\\{name.removeprefix(chr(92))}", text))
    return tuple(found)


def _typeset(self: HTML5Translator, node: nodes.Element, *, display: bool) -> str:
    tex = node.astext().strip()
    if display and "\\\\" in tex and "\\begin{" not in tex:
        tex = f"\\begin{{split}}{tex}\\end{{split}}"  # as Sphinx has it for MathJax
    try:
        return typeset(tex, display=display, macros=macros_of(self.config))
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
    app.add_config_value("kexue_macros", {}, "html", [dict])
    app.connect(
        "config-inited", lambda _, config: macros_of(config)
    )  # a wrong one is told before anything is read
    app.add_html_math_renderer("kexue", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "kexue"
