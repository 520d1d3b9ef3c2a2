"""Reading chapters."""

import json
from pathlib import Path

import jupytext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.claims import ClaimError, ledger
from kexue.press.project import PressError, find_root
from kexue.press.sources.catalogue import catalogue, select
from kexue.press.sources.cells import CodeCell, read_code_cells
from kexue.press.sources.claims_text import claims_of
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
    assert {path.stem for path in (ROOT / "book" / "zh").iterdir()} == {chapter.slug for chapter in chapters}
    for chapter in chapters:
        chapter.check_cells()
        chapter.check_parameters()
        assert chapter.claims
        assert {"smoke", "quick", "full"} == set(chapter.profiles)
        assert chapter.docname in toc
        assert chapter.summary
        assert chapter.statements_zh.keys() == {claim.id for claim in chapter.claims}


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
            "one.md:34: the claims cell may hold only",
        ),
        ("claims = declare(", "ledger = claims = None; declare(", "one.md:36: the claims cell may hold only"),
        ("expect: ≤ 0", "expect: ≤ none", "one.md:45: claim forgotten, field expect: needs finite numbers"),
        ("      says: It is small.\n", "", "one.md:39: claim small, field says: is missing"),
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
    assert "bad.md:55: invalid syntax" in done.stderr
    assert "1 reproduced" in done.stdout or "1 inconclusive" in done.stdout
    assert book.kexue("run", "good").returncode == 0


HOSTILE = [
    "import os\nos._exit(9)",
    "while True: pass",
    "print('hello')",
    "1 / 0",
    "exit()",
    "'a text'",
    "!touch trace",
    "claims = declare(open('trace', 'w').name, profile=profile, seed=seed)",
    "claims = declare(f'{print()}', profile=profile, seed=seed)",
    "claims = declare('c: 1' + print(), profile=profile, seed=seed)",
    "claims = declare('c: 1', profile=print(), seed=seed)",
    "claims = declare('c: 1', 'd: 2', profile=profile, seed=seed)",
    "claims = declare('c: 1', **{'profile': profile, 'seed': seed})",
    "claims = print('c: 1', profile=profile, seed=seed)",
    "other = declare('c: 1', profile=profile, seed=seed)",
    "from kexue.press import root",
    "import kexue.claims",
]


@pytest.mark.parametrize("code", HOSTILE)
def test_nothing_in_a_claims_cell_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PressError, match=r"one\.md:\d+: the claims cell may hold only"):
        claims_of(Path("one.md"), CodeCell(code, ("claims",), 10))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_reading_claims_leaves_the_ledger_of_this_process_alone(book: TinyBook):
    book.write("one")
    ledger.reset()
    (chapter,) = catalogue(book.root)
    assert [claim.id for claim in chapter.claims] == ["small", "forgotten"]
    with pytest.raises(ClaimError, match="no claims are declared yet"):
        ledger.current()


def test_the_claims_in_chinese_stand_beside_the_chapters(book: TinyBook):
    book.write("one")
    assert [row["statement_zh"] for row in book.json("claims", "one")] == ["", ""]
    chinese = book.root / "book" / "zh" / "one.yml"
    chinese.parent.mkdir()
    chinese.write_text("claims:\n  small: 它很小。\n", encoding="utf-8")
    assert [row["statement_zh"] for row in book.json("claims", "one")] == ["它很小。", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: {smal: 它很小。}", "translates smal, which the chapter does not declare"),
        ("claims: {small: [1]}", "must hold a mapping `claims`"),
        ("small: 它很小。", "must hold a mapping `claims`"),
        ("claims: {small: a", "is no YAML"),
    ],
)
def test_a_translation_of_no_claim_is_told(book: TinyBook, text: str, message: str):
    book.write("one")
    chinese = book.root / "book" / "zh" / "one.yml"
    chinese.parent.mkdir()
    chinese.write_text(text, encoding="utf-8")
    (chapter,) = catalogue(book.root)
    with pytest.raises(PressError, match=f"one\\.yml:? {message}"):
        chapter.check()


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
