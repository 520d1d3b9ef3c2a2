"""The staging tree: whatever form a link, a picture, a cell or `_toc.yml` has, its page shows it or the author is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from bs4 import BeautifulSoup

from kexue.press.project import PressError
from kexue.press.results.snapshot import Edition
from kexue.press.site.build import publish
from kexue.press.site.data import site_data
from kexue.press.site.stage import stage
from tests.press.test_readers_notebook import PIXEL
from tests.site.tinybook import tiny_edition, write_book

FORMS = """
[plain](older.md) {doc}`role <older>` [angle](<older.md>) [titled](older.md "A title") [by reference][r]
[root](/book/language/older.md) [page](../how-to-read.md)

[r]: older.md

![A dot](<图 一.png>) ![Two](<a dot.png>)
"""
NOTE = '+++ {"tags": ["remove-cell"]}\n\nBetween us.\n\n+++\n\n'
RAW = """```{raw-cell}
:format: text/html

<b class="raw-one">raw</b>
```

```{raw-cell}
shown nowhere
```

```{raw-cell}
:tags: [remove-cell]

between us
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny book with links, pictures, notes and raw cells in every form, published."""
    root = tmp_path_factory.mktemp("forms")
    write_book(root)
    means = root / "book" / "language" / "means.md"
    text = means.read_text(encoding="utf-8").replace(
        "\nA long name:", f"\n{NOTE}{FORMS}\n{RAW}\nA long name:"
    )
    means.write_text(text, encoding="utf-8")
    page = root / "book" / "how-to-read.md"
    page.write_text(
        page.read_text(encoding="utf-8") + '\n[from a page](language/older.md "t")\n', encoding="utf-8"
    )
    for name in ("图 一.png", "a dot.png"):
        (means.parent / name).write_bytes(PIXEL)
    problems = publish(tiny_edition(root)).problems
    (root / "problems").write_text("\n".join(problems), encoding="utf-8")
    return root


def page_of(book: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((book / "_build" / "html" / name).read_text(encoding="utf-8"), "html.parser")


def test_a_link_to_a_chapter_leads_there_in_whatever_form(book: Path) -> None:
    links = {
        a.get_text(): a["href"] for a in page_of(book, "book/language/means.html").select("article a[href]")
    }
    for words in ("plain", "role", "angle", "titled", "by reference", "root"):
        assert links[words] == "older.html", words
    assert links["page"] == "../how-to-read.html"
    links = {
        a.get_text(): a["href"] for a in page_of(book, "book/how-to-read.html").select("article a[href]")
    }
    assert links["from a page"] == "language/older.html"


def test_pictures_with_spaces_and_chinese_in_their_names_are_on_the_page(book: Path) -> None:
    page = book / "_build" / "html" / "book" / "language"
    shown = {
        img["alt"]: img["src"] for img in page_of(book, "book/language/means.html").select("article img[alt]")
    }
    for alt in ("A dot", "Two"):
        assert (page / unquote(shown[alt])).read_bytes() == PIXEL


def test_tags_of_notes_and_raw_cells_are_honoured(book: Path) -> None:
    page = (book / "_build" / "html" / "book" / "language" / "means.html").read_text(encoding="utf-8")
    assert '<b class="raw-one">raw</b>' in page
    assert "between us" not in page.lower()
    problems = (book / "problems").read_text(encoding="utf-8").split("\n")
    assert [line for line in problems if line.startswith("means: ")] == [
        "means: the raw cell 'shown nowhere' names no format (`:format: text/html`): no page shows it"
    ]


@pytest.fixture
def copy(book: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", f"{book}/.", str(tmp_path)], check=True)
    return tmp_path


def test_chapters_outside_of_parts_and_below_others_have_pages(copy: Path) -> None:
    shutil.copyfile(copy / "book" / "how-to-read.md", copy / "book" / "language" / "an-aside.md")
    toc = {
        "format": "jb-book",
        "root": "book/intro.md",
        "chapters": [
            {"file": "book/how-to-read", "sections": [{"file": "book/scoreboard"}, {"file": "book/gone"}]},
            {"url": "https://example.org", "title": "Elsewhere"},
            {"file": "book/language/means.md", "sections": [{"file": "book/language/an-aside"}]},
            {"file": "book/missing", "sections": [{"file": "book/language/older"}]},
        ],
    }
    (copy / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    for name in ("intro.md", "how-to-read.md", "language/an-aside.md", "scoreboard.md"):
        (copy / "book" / name).write_text("# A page\n", encoding="utf-8")  # without links to what is gone
    problems = publish(tiny_edition(copy)).problems
    for name in ("means", "older", "an-aside"):
        assert (copy / f"_build/html/book/language/{name}.html").is_file(), name
    assert "_toc.yml lists the link https://example.org; the menu has pages of the book only" in problems
    for name in ("gone", "missing"):
        assert f"_toc.yml lists book/{name}, which is no page; it is left out" in problems
    assert "book/generative/unrun is not listed in _toc.yml and has no page" in problems


def test_a_table_of_contents_of_another_form_is_refused_in_a_sentence(copy: Path) -> None:
    chapters = tiny_edition(copy).chapters
    (copy / "_toc.yml").write_text("root: book/intro\nparts: {a: b}\n", encoding="utf-8")
    with pytest.raises(PressError, match=r"_toc\.yml: `parts` must be a list"):
        publish(Edition(copy, chapters))


def test_a_tree_is_staged_without_the_library_pages_and_the_offline_files(tmp_path: Path) -> None:
    write_book(tmp_path / "book-root")
    edition = tiny_edition(tmp_path / "book-root")
    assert stage(edition, site_data(edition), tmp_path / "staged") == ()
    assert (tmp_path / "staged" / "book" / "language" / "means.ipynb").is_file()
    assert not (tmp_path / "staged" / "book" / "library").exists()
