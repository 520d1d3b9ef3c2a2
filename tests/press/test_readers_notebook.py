"""The notebook a reader takes away says in plain Markdown all that the chapter says, or the author is told by line."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from kexue.press.site.downloads import readers_notebook
from kexue.press.site.plain_markdown import PlainMarkdown
from kexue.press.sources.catalogue import catalogue
from tests.site.tinybook import REPOSITORY, executed, never_run, write_book

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

# What the book writes, and what a reader of the notebook must find of it.
KINDS = {
    "(a-place)=\n## Heading": "## Heading",
    "Words *slanted*, **bold**, `code`, a break\\\nhere.": "Words *slanted*, **bold**, `code`, a break",
    "From \\$5 to \\$10.": "From \\$5 to \\$10.",
    "> quoted": "> quoted",
    "- one\n- two\n\n  more of two": "more of two",
    "3. three\n4. four": "3. three",
    "- [x] done\n- [ ] open": "[x] done",
    "---": "___",
    "Term\n: What it means.\n: And again.": "**Term**\n\n> What it means.\n\n> And again.",
    "A note[^n].\n\n[^n]: Below.": "<sup>n</sup> Below.",
    "| a | b |\n|:--|--:|\n| 1 \\| 2 | $\\|x\\|$ |": "| 1 \\| 2 | $\\|x\\|$ |",
    "```python\nx = 1\n```": "```python\nx = 1\n```",
    "    indented = 1": "indented = 1",
    "<b>html</b> in words\n\n<div>\nblock\n</div>": "<div>\nblock\n</div>",
    "% a remark\n\nAfter it.": "After it.",
    "Inline $a_1$ math.": "Inline $a_1$ math.",
    "$$\na^2\n$$ (eq-one)\n\nSee {eq}`eq-one`.": "$$\na^2\\tag{eq-one}\n$$\n\nSee (eq-one).",
    "\\begin{align}\na &= b\n\\end{align}": "\\begin{align}\na &= b\n\\end{align}",
    "```{math}\n:label: eq-two\na = b\n```": "$$\na = b\\tag{eq-two}\n$$",
    "```{note}\nMind.\n```": "> **Note**\n>\n> Mind.",
    ":::{warning} At once.\n:::": "> **Warning**\n>\n> At once.",
    "````{admonition} A *title*\n:class: tip\nIn it\n```{code-block} r\nx <- 1\n```\n````": (
        "> **A *title***\n>\n> In it\n>\n> ```r\n> x <- 1\n> ```"
    ),
    "::::{tab-set}\n:::{tab-item} Left\nL\n:::\n:::{tab-item} Right\nR\n:::\n::::": "> **Left**\n>\n> L",
    ":::kx-box\nin a box\n:::": "in a box",
    ":::{zh}\n中文\n:::": "中文",
    "```{list-table} Costs\n:header-rows: 1\n* - What\n  - How much\n* - Tea | milk\n  - two *cups*\n```": (
        "**Costs**\n\n| What | How much |\n|---|---|\n| Tea \\| milk | two *cups* |"
    ),
    "```{csv-table}\n1, 2\n```": "|   |   |\n|---|---|\n| 1 | 2 |",
    "```{table} A title\n| h |\n|---|\n| c |\n```": "**A title**\n\n| h |",
    "```{figure} 图 一.png\n:alt: A dot\nThe caption.\n```": "![A dot](attachment:picture-1.png)\n\nThe caption.",
    "![A dot](<图 一.png>)": "![A dot](attachment:picture-1.png)",
    "![far](https://example.org/a.png)": "![far](https://example.org/a.png)",
    "Press {kbd}`Ctrl`, H{sub}`2`O, {math}`x^2`.": "Press `Ctrl`, H2O, $x^2$.",
    "{zh}`短` {abbr}`MLE (maximum likelihood)`": "短 MLE (maximum likelihood)",
    "{numref}`the words <fig-means>` and {ref}`a-place`": "the words and `a-place`",
    "{doc}`older` and {doc}`words <older>`": "[`older`](older.ipynb) and [words](older.ipynb)",
    '[t](older.md "A title")': '[t](older.ipynb "A title")',
    "[angle](<older.md#x>)": "[angle](older.ipynb)",
    "[root](/book/language/older.md)": "[root](older.ipynb)",
    "[by reference][r]\n\n[r]: older.md": "[by reference](older.ipynb)",
    "<project:older.md>": "[project:older.md](older.ipynb)",
    "[away](../how-to-read.md#verdicts)": "[away](https://x.example/book/how-to-read.html#verdicts)",
    "[place](#a-place)": "place",
    "<https://example.org>": "<https://example.org>",
    "[span]{.kx}": "span",
    "```{library} kexue.means.power_mean\n```": "`kexue.means.power_mean`\n\n```python\ndef power_mean",
    "{verdict}`mean-grows`, {measured}`mean-grows`, {glue:text}`steps:.1f`": "**reproduced**, 0.25, 12.3",
    "```{provenance}\n```": "Run it again: `kexue run means`.",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PlainMarkdown:
    """The translator of a tiny chapter with a picture beside it."""
    root = tmp_path_factory.mktemp("plain")
    write_book(root)
    (root / "book" / "language" / "图 一.png").write_bytes(PIXEL)
    (means,) = [chapter for chapter in catalogue(root) if chapter.slug == "means"]
    return PlainMarkdown(executed(means), root, "https://x.example/", {"book/language/older"})


@pytest.mark.parametrize("text", KINDS)
def test_every_kind_of_markdown_is_said_in_plain_markdown(plain: PlainMarkdown, text: str) -> None:
    plain.attachments.clear()
    said = plain.translate(text, 0)
    assert KINDS[text] in said
    assert plain.problems == []
    assert not re.search(r"\{[\w:-]+\}`|:::|^```\{|^\(\w", said, re.MULTILINE)


def test_all_kinds_in_one_text_lose_no_word(plain: PlainMarkdown) -> None:
    said = plain.translate("\n\n".join(KINDS), 0)
    shown = re.sub(r"<[^>]+>", "", MarkdownIt().enable("table").render(said))
    assert not re.search(r"\{[\w:-]+\}`|:::", said)
    for word in (
        "Heading",
        "more of two",
        "four",
        "What it means",
        "Below",
        "block",
        "In it",
        "two cups",
        "The caption",
    ):
        assert word in shown, word
    assert plain.problems == []


@pytest.mark.parametrize(
    ("text", "line", "what", "kept"),
    [
        ("Words.\n\n```{sparkline} a b\n1 2 3\n```", 13, "directive 'sparkline'", "1 2 3"),
        ("Words {sparkle}`this` here.", 11, "role 'sparkle'", "this"),
        (":::{note}\n\n{sparkle}`this`\n:::", 13, "role 'sparkle'", "this"),
        ("![A dot](gone.png)", 11, "no picture 'gone.png'", "A dot"),
        ('Here <img src="dot.png"> it is.', 11, "in <img>", "dot.png"),
    ],
)
def test_what_has_no_form_keeps_its_text_and_is_told_by_line(
    plain: PlainMarkdown, text: str, line: int, what: str, kept: str
) -> None:
    for _ in range(2):  # a second time as well
        said = plain.translate(text, 10)
        (problem,) = plain.problems
        plain.problems.clear()
        assert problem.startswith(f"book/language/means.md:{line}: ")
        assert what in problem
        assert kept in said


def test_a_bar_in_a_statement_ends_no_cell(plain: PlainMarkdown) -> None:
    rows = tuple({**row, "statement": "p(x|z) grows"} for row in plain.edition.claims)
    told = PlainMarkdown(replace(plain.edition, claims=rows), plain.root)
    table = MarkdownIt().enable("table").render(told.translate("```{verdict-table}\n```", 0))
    first = re.findall(r"<td>(.*?)</td>", table)[:3]
    assert first == ["reproduced", "p(x|z) grows", "0.25"]


def test_a_private_note_is_no_readers(plain: PlainMarkdown) -> None:
    note = {
        "cell_type": "markdown",
        "id": "n",
        "metadata": {"tags": ["remove-cell"]},
        "source": "Between us.",
    }
    notebook = {**plain.edition.notebook, "cells": [note, *plain.edition.notebook["cells"]]}
    taken, problems = readers_notebook(replace(plain.edition, notebook=notebook), plain.root)
    assert problems == ()
    assert "Between us" not in json.dumps(taken)


@pytest.mark.parametrize("chapter", catalogue(REPOSITORY), ids=lambda chapter: chapter.slug)
def test_the_books_own_chapters_are_plain_in_the_readers_notebook(chapter: Path) -> None:
    edition = replace(never_run(chapter), notebook=json.loads(json.dumps(chapter.notebook)))
    taken, problems = readers_notebook(edition, REPOSITORY)
    assert problems == ()
    prose = "\n\n".join(cell["source"] for cell in taken["cells"] if cell["cell_type"] == "markdown")
    assert not re.search(r"\{[\w:-]+\}`|:::|^```\{|^\([\w-]+\)=", prose, re.MULTILINE)
