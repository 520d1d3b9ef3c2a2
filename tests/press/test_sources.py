"""What may stand at the head of a chapter and in `_toc.yml`, and what is said of anything else."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.press.project import PressError, outside, read_yaml
from kexue.press.sources.catalogue import catalogue, select
from kexue.press.sources.cells import read_code_cells
from kexue.press.sources.front_matter import is_meant_for_a_chapter, read_front_matter
from kexue.press.sources.toc import add_page, read_contents
from tests.press.tiny_book import TinyBook

HEAD = """---
kexue:
  title: T
  title_zh: 题
  article: {title: 文, date: "2021-12-04", url: "https://kexue.fm/archives/1"}
  profiles:
    smoke: {seeds: 1}
    quick: {seeds: 3, gpus: 1}
---
"""
PLACE = Path("book/language/one.md")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: T", "title: [T]", "one.md:3: `kexue.title` must be a text, got ['T']"),
        ("title: T", "titel: T", "one.md:3: `kexue.titel` is unknown: did you mean title?"),
        ("  title_zh: 题\n", "", "one.md:2: `kexue.title_zh` is missing"),
        ('"2021-12-04"', "2021-12-04", "one.md:5: `kexue.article.date` must be a text"),
        ('article: {title: 文, date: "2021-12-04", url: "https://kexue.fm/archives/1"}', "article: 5", ":5: `kexue.article` must be a mapping, got 5"),
        ("smoke: {seeds: 1}", "smoke: [1]", "one.md:7: `kexue.profiles.smoke` must be a mapping, got [1]"),
        ("smoke: {seeds: 1}", "huge: {seeds: 1}", "one.md:6: `kexue.profiles` must map some of"),
        ("seeds: 3", "seeds: 100000000", "one.md:8: `kexue.profiles.quick.seeds` must be an integer ≥ 1 and ≤"),
        ("seeds: 3", "seeds: true", "must be an integer ≥ 1"),
        ("gpus: 1", "gpus: many", "one.md:8: `kexue.profiles.quick.gpus` must be a number ≥ 0, got 'many'"),
        ("gpus: 1", "gpu: 1", "`kexue.profiles.quick.gpu` is unknown: did you mean gpus?"),
        ("gpus: 1", "limits: {cell: 0}", "`kexue.profiles.quick.limits.cell` must be a number > 0, got 0"),
        ("gpus: 1", "gpus: .nan", "must be a number ≥ 0"),
        ("title: T", "title: T\n  data: 5", "one.md:4: `kexue.data` must be a list of data sets, got 5"),
        ("title: T", "title: T\n  paper: text", "one.md:4: `kexue.paper` must be a mapping or a list"),
        ("title: T", "title: T\n  paper: [text]", "one.md:4: `kexue.paper` must be a mapping, got 'text'"),
        ("title: T", "title: T\n\tkey: 1", "is no YAML: line 4"),
        ("title: T", "title: " + "[" * 20_000, "is no YAML"),
        ("kexue:", "kexue: 5\nother:", "must hold a mapping `kexue`"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_as_it_should_be_is_told_by_line_and_name(old: str, new: str, message: str):
    assert old in HEAD
    with pytest.raises(PressError) as told:
        read_front_matter(PLACE, HEAD.replace(old, new, 1))
    assert message in str(told.value)
    assert str(PLACE) in str(told.value)


def test_what_is_left_out_has_its_default_and_a_number_will_do_for_a_text():
    text = HEAD.replace("title: T", 'title: T\n  paper: {title: "P", venue: 2021}')
    found = read_front_matter(PLACE, text)
    assert found.papers == ({"title": "P", "venue": "2021"},)
    assert found.limits == {"cell": 600.0, "chapter": 3600.0}
    assert found.profiles["quick"] == {
        "seeds": 3,
        "gpus": 1.0,
        "gpu_memory_gb": 0.0,
        "memory_gb": 0.0,
        "limits": {},
    }
    assert (found.key_figure, found.data, found.summary) == (None, (), "")
    assert is_meant_for_a_chapter(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["title", "title_zh", "article", "paper", "profiles", "data", "limits", "key_figure"]),
    VALUES,
)
def test_whatever_stands_in_a_field_is_read_or_refused_in_words(field: str, value: object):
    matter = {
        "title": "T",
        "title_zh": "题",
        "article": {"title": "文", "date": "2021-12-04", "url": "u"},
        "profiles": {"smoke": {"seeds": 1}},
        field: value,
    }
    text = f"---\n{json.dumps({'kexue': matter})}\n---\n"  # JSON is YAML
    said = "kexue"
    try:
        read_front_matter(PLACE, text)
    except PressError as told:
        said = str(told)
    assert "kexue" in said or "YAML" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (":tags: 5", "line 2: `tags` of a code cell must be a list of words, got 5"),
        ("---\n- a\n---", "line 3: the options of a code cell must be a mapping"),
        ("---\na: [\n---", "the options of a code cell are no YAML: line 3"),
    ],
)
def test_cell_options_that_are_no_options_are_told_by_line(options: str, message: str):
    with pytest.raises(PressError) as told:
        list(read_code_cells(f"```{{code-cell}} ipython3\n{options}\nx = 1\n```\n"))
    assert message in str(told.value)


def test_other_programs_files_are_no_chapters(book: TinyBook):
    path = book.write("one")
    for name in (".#one.md", "._one.md", ".one.md.swp", "one (conflicted copy).md", "one~.md", "copy.md"):
        path.with_name(name).write_bytes(path.read_bytes() if name != "._one.md" else b"\x00\x05\x16\x07\xff")
    (book.root / "book" / "language" / "folder.md").mkdir()
    assert [chapter.slug for chapter in catalogue(book.root)] == ["one"]
    with pytest.raises(
        PressError, match=r"no chapter 'copy' \(book/language/copy.md is not listed in _toc.yml\)"
    ):
        select(book.root, ["copy"])


def test_a_text_that_cannot_be_read_is_told_by_name_and_hides_no_other(book: TinyBook):
    bad = {name: book.write(name) for name in ("latin", "wide", "loop", "folder", "deep")}
    book.write("good")
    bad["latin"].write_bytes(bad["latin"].read_text().encode() + "é".encode("latin-1"))
    bad["wide"].write_text(bad["wide"].read_text(), encoding="utf-16")
    for name in ("loop", "folder"):
        bad[name].unlink()
    bad["loop"].symlink_to(bad["loop"].name)
    bad["folder"].mkdir()
    bad["deep"].write_text(bad["deep"].read_text().replace("x = 1", "x = " + "(" * 5000))
    done = book.kexue("list", "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert {row["chapter"]: row["state"] for row in json.loads(done.stdout)} == {
        "good": "never run",
        **dict.fromkeys(bad, "failed"),
    }
    for name in bad:
        assert f"{name}.md" in done.stderr
    assert "is not UTF-8; save the file as UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root: [a]", "`root` must name the first page, got ['a']"),
        ("root: a\nparts: 5", "`parts` must be a list, got 5"),
        ("root: a\nparts: [x]", "part 1 must be a mapping with caption and chapters"),
        (
            "root: a\nparts:\n- caption: A\n  chapters: [x]",
            "chapters of part 1 must be a list of `- file: …`",
        ),
        ("root: a\nchapters:\n- file: 5", "chapters: `file` must name a page"),
        ("root: a\n\tchapters: []", "is no YAML: line 2"),
        ("- a", "must hold a mapping, got ['a']"),
    ],
)
def test_contents_that_cannot_be_read_are_told_in_words(tmp_path: Path, text: str, message: str):
    (tmp_path / "_toc.yml").write_text(text)
    with pytest.raises(PressError) as told:
        read_contents(tmp_path)
    assert message in str(told.value)
    assert "_toc.yml" in str(told.value)


def test_contents_are_read_in_every_form_that_jupyter_book_knows(tmp_path: Path):
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: a.md\nchapters:\n- file: b\n  sections:\n  - file: c\n- url: https://x.example\n"
    )
    assert read_contents(tmp_path).documents() == ("a", "b", "c")
    (tmp_path / "_toc.yml").write_text(
        "root: a\nparts:\n- caption: Empty\n  chapters: []\n- caption: P # here\n  chapters:\n  - file: b\n"
    )
    assert [(part.caption, len(part.entries)) for part in read_contents(tmp_path).parts] == [
        ("Empty", 0),
        ("P", 1),
    ]
    add_page(tmp_path, "Empty", "book/x/new")
    assert read_contents(tmp_path).documents() == ("a", "book/x/new", "b")


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path):
    with pytest.raises(OSError, match="No such file") as refused:
        (tmp_path / "missing" / "x").read_bytes()
    assert str(outside(refused.value)) == f"{tmp_path}/missing/x: no such file or directory"
    (tmp_path / "x.yml").write_text("a: 1\n\tb: 2")
    with pytest.raises(PressError, match=r"x\.yml is no YAML: line 2"):
        read_yaml(tmp_path / "x.yml")
