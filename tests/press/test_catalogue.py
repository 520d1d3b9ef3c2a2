"""Reading chapters."""

import json
from pathlib import Path

import jupytext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.claims import declare, ledger
from kexue.press.project import PressError, find_root
from kexue.press.sources.catalogue import catalogue, select
from kexue.press.sources.cells import read_code_cells
from tests.book.chapters import ROOT
from tests.press.tiny_book import TinyBook

HEAD = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n---\n\n"
BLOCKS = [
    "Prose with `code` and a list:\n\n- a\n- b",
    "```{code-cell} ipython3\nx = 1\n\ny = 2\n```",
    "```{code-cell} ipython3\n:tags: [hide-input, claims]\n\nx = 1\n```",
    "```{code-cell}\n---\ntags: [parameters]\nmystnb:\n  image:\n    alt: A picture.\n---\nx = '''\n# not a heading\n'''\n```",
    "````{code-cell} ipython3\ns = '```'\n````",
    "```{note}\nNot code.\n```",
    "````{note}\n```{code-cell} ipython3\nnested = 1\n```\n````",
    "~~~\n```{code-cell}\nshown = 1\n```\n~~~",
    "```{code-cell} ipython3\n```",
    "```python\nprint('not run')\n```",
    "```{code-cell} ipython3\n# only a comment\n\n\n```",
]


@given(st.lists(st.sampled_from(BLOCKS), max_size=6))
def test_code_cells_are_jupytexts(blocks):
    text = HEAD + "\n\n".join(blocks) + "\n"
    theirs = [
        (cell.source, tuple(cell.metadata.get("tags", ())))
        for cell in jupytext.reads(text, fmt="md:myst").cells
        if cell.cell_type == "code"
    ]
    ours = list(read_code_cells(text))
    assert [(cell.source, cell.tags) for cell in ours] == theirs
    lines = text.split("\n")
    for cell in ours:
        if cell.source:
            assert lines[cell.line - 1] == cell.source.split("\n")[0]


def test_the_real_chapters_are_read_as_jupytext_reads_them_and_stand_in_the_toc():
    toc = (ROOT / "_toc.yml").read_text()
    chapters = catalogue(ROOT)
    assert chapters
    for chapter in chapters:
        chapter.check_cells()
        chapter.check_parameters()
        assert chapter.claims
        assert {"smoke", "quick", "full"} == set(chapter.profiles)
        assert chapter.docname in toc
        assert chapter.summary
        assert all(claim.statement_zh for claim in chapter.claims)


def test_a_chapter_survives_jupyter_unchanged():
    for chapter in catalogue(ROOT):
        config = jupytext.config.load_jupytext_configuration_file(str(ROOT / "jupytext.toml"))
        notebook = jupytext.reads(chapter.source, fmt="md:myst", config=config)
        assert jupytext.writes(notebook, fmt="md:myst", config=config) == chapter.source, chapter.slug


def test_an_unknown_chapter_is_named_with_those_there_are(book: TinyBook):
    book.write("one")
    with pytest.raises(PressError, match="no chapter 'two'; the chapters are one"):
        select(book.root, ["two"])
    done = book.kexue("run", "two")
    assert done.returncode == 2
    assert "no chapter 'two'" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  title_zh: 小章\n", "", "`kexue.title_zh` is missing"),
        ('"2021-12-04"', "2021-12-04", "quote the date"),
        (
            "smoke: {seeds: 1}",
            "huge: {seeds: 1}",
            "one.md:15: `kexue.profiles` must map some of smoke, quick, full",
        ),
        ("quick: {seeds: 1}", "quick: {seeds: none}", "seeds` must be an integer ≥ 1"),
        (":tags: [claims]", ":tags: [other]", "exactly one cell must be tagged `claims`, found 0"),
        (
            "from kexue.claims import",
            "import os\nfrom kexue.claims import",
            "the claims cell may import only",
        ),
        ("claims = declare(", "ledger = claims = None; declare(", "must bind one ledger"),
        ("expect=Below(0)", "expect=Below(profil)", "the claims cell fails on its own: name 'profil'"),
    ],
)
def test_a_bad_chapter_is_told_by_file_and_field(book: TinyBook, old: str, new: str, message: str):
    path = book.write("one")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    book.write("good")
    done = book.kexue("list", "--json")
    assert done.returncode == 1
    assert message in done.stderr
    assert "one.md" in done.stderr
    assert {row["chapter"]: row["state"] for row in json.loads(done.stdout)} == {
        "good": "never run",
        "one": "failed",
    }


def test_a_chapter_that_cannot_be_read_hides_no_other(book: TinyBook):
    book.write("bad", body="1 +")
    book.write("good")
    done = book.kexue("run")
    assert done.returncode == 1
    assert "bad.md:47: invalid syntax" in done.stderr
    assert "1 reproduced" in done.stdout or "1 inconclusive" in done.stdout
    assert book.kexue("run", "good").returncode == 0


def test_reading_claims_leaves_a_sealed_ledger_alone(book: TinyBook):
    book.write("one")
    (chapter,) = catalogue(book.root)
    ledger.reset()
    mine = declare(*chapter.claims[1:], profile="smoke", seed=0)
    mine.measure("forgotten", 0)
    (again,) = catalogue(book.root)
    assert [claim.id for claim in again.claims] == ["small", "forgotten"]
    assert ledger.current() is mine
    ledger.reset()


def test_two_chapters_of_one_name_are_refused(book: TinyBook):
    path = book.write("one")
    other = book.root / "book" / "optimisation" / "one.md"
    other.parent.mkdir()
    other.write_text(path.read_text())
    book.write("good")
    toc = book.root / "_toc.yml"
    toc.write_text(toc.read_text() + "  - file: book/optimisation/one\n")
    first, second = (chapter for chapter in catalogue(book.root) if chapter.slug == "one")
    first.check()
    with pytest.raises(PressError, match="two chapters are named 'one'"):
        second.check()
    done = book.kexue("list", "--json")
    assert done.returncode == 1
    assert [row["state"] for row in json.loads(done.stdout)] == ["never run", "never run", "failed"]


def test_outside_a_book_the_command_says_so(tmp_path: Path):
    with pytest.raises(PressError, match="no book at or above"):
        find_root(tmp_path)
