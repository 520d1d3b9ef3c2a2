"""The library's docstrings as its pages show them."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from kexue.press.site.api import library
from kexue.press.sphinx_ext.docstrings import inline, prose

MODULE = '''"""A module."""


def lead(scores):
    """How far the first is ahead.

    Args:
        scores: the scores: one a row,
            of any unit.

    Returns:
        The difference to the second: positive if there is a first,
        and NaN where there is none.
    """
'''


def test_what_a_function_returns_is_one_thing_however_many_lines_it_takes(tmp_path: Path) -> None:
    (tmp_path / "src" / "kexue").mkdir(parents=True)
    (tmp_path / "src" / "kexue" / "leads.py").write_text(MODULE, encoding="utf-8")
    (module,) = library(tmp_path)
    (lead,) = module["objects"]
    (returns,) = [section for section in lead["sections"] if section["title"] == "Returns"]
    ((name, text),) = returns["items"]
    said = " ".join(f"{name} {text}".split())
    assert said == "The difference to the second: positive if there is a first, and NaN where there is none."


@pytest.mark.parametrize(
    ("text", "formulas", "rest"),
    [
        ("the mean ($1$ for AM; $M/x$ for GM)", 2, "the mean ( for AM;  for GM)"),
        ("so $$x^2$$ it is", 1, "so  it is"),
        ("costs `$5` or ``$x$``", 0, "costs $5 or $x$"),
        ("from $5 to $10", 0, "from $5 to $10"),
        ("<b> & 'x'", 0, "<b> & 'x'"),
    ],
)
def test_formulas_of_a_docstring_are_set_and_code_is_left(text: str, formulas: int, rest: str) -> None:
    shown = BeautifulSoup(inline(text), "html.parser")
    assert len(shown.select(".katex")) == formulas
    for formula in shown.select(".katex"):
        formula.decompose()
    assert shown.get_text() == rest


def test_paragraphs_articles_and_code_of_a_docstring() -> None:
    shown = prose("See kexue.fm/archives/8771\nof `x`.\n\nMore.")
    assert str(shown) == (
        '<p>See <a href="https://kexue.fm/archives/8771">kexue.fm/archives/8771</a> of <code>x</code>.</p><p>More.</p>'
    )
