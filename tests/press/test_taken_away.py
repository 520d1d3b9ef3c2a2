"""What leaves the site: the branch of notebooks that its buttons open, the PDF of the book, the preview's page."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from kexue.press.bind import whole_book
from kexue.press.edition import Edition
from kexue.press.notebooks import write_branch
from kexue.press.preview import Preview
from kexue.press.publish import publish
from kexue.press.root import PressError
from kexue.press.store import Store
from tests.site.tinybook import tiny_edition, write_book

HOME = "https://github.com/someone/kexue"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """The tiny book with a public home, and its site with a PDF where there is a browser to print it."""
    root = tmp_path_factory.mktemp("home")
    write_book(root)
    config = root / "_config.yml"
    named = config.read_text(encoding="utf-8").replace('url: ""', f"url: {HOME}", 1)
    config.write_text(named, encoding="utf-8")
    edition = tiny_edition(root)
    publish(edition, pdf=any(map(shutil.which, BROWSERS)))
    return edition


def test_what_the_buttons_of_a_page_open_is_in_the_branch(book: Edition, tmp_path: Path) -> None:
    branch = tmp_path / "branch"
    write_branch(book, branch)
    page = (book.root / "_build/html/book/language/means.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(https://(?:colab|mybinder)[^"]+)"', page)
    assert len(links) == 2
    for link in links:
        _, _, path = link.partition(
            "/someone/kexue/blob/notebooks/" if "colab" in link else "urlpath=lab/tree/"
        )
        assert (branch / path).is_file(), link
    first = json.loads((branch / "book/language/means.ipynb").read_text(encoding="utf-8"))["cells"][0]
    assert f'%pip install --quiet "kexue @ git+{HOME}@{COMMIT}"' in first["source"]
    assert f"git+{HOME}@" in (branch / "requirements.txt").read_text(encoding="utf-8")


def test_the_branch_wants_a_new_folder_and_a_home(book: Edition, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(PressError, match="not empty"):
        write_branch(book, tmp_path / "full")
    homeless = tmp_path / "homeless"
    write_book(homeless)
    with pytest.raises(PressError, match=r"repository\.url"):
        write_branch(tiny_edition(homeless), tmp_path / "new")


def test_the_whole_book_links_within_itself(book: Edition) -> None:
    site = book.root / "_build" / "html"
    whole = whole_book(site, ["book/intro", "book/scoreboard", "book/language/means"])
    places = set(re.findall(r'\bid="([^"]+)"', whole))
    links = re.findall(r'<a\b[^>]*\bhref="([^"]+)"', whole)
    assert {link[1:] for link in links if link.startswith("#")} <= places
    assert all(link.startswith(("#", "https://")) for link in links)
    assert all((site / source).is_file() for source in re.findall(r'<img\b[^>]*\bsrc="([^"]+)"', whole))


def test_the_book_is_one_pdf(book: Edition) -> None:
    if not any(map(shutil.which, BROWSERS)):
        pytest.fail("no chromium") if os.environ.get("CI") else pytest.skip("no chromium")
    pdf = (book.root / "_build/html/kexue-executed.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert str(book.root).encode() not in pdf
    assert b"(D:00000000000000" in pdf
    assert 'href="../kexue-executed.pdf"' in (book.root / "_build/html/book/intro.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")  # Sphinx's own
def test_a_preview_shows_an_edit_and_names_the_line_of_a_mistake(tmp_path: Path) -> None:
    # Sphinx's extensions touch every object of the process, and this one answers with a warning.
    import torch.distributed  # noqa: F401

    write_book(tmp_path)
    path = tmp_path / "book" / "generative" / "unrun.md"
    source = path.read_text(encoding="utf-8").replace("data: [toy/board]", "data: []")
    path.write_text(source, encoding="utf-8")
    told: list[str] = []
    preview = Preview(
        tmp_path, "unrun", Store(tmp_path / ".kexue"), profile="quick", device="cpu", tell=told.append
    )
    try:
        assert preview.render(preview.gather()), told
        text = source + "\nAn edit, with $\\nonsense$.\n"
        path.write_text(text, encoding="utf-8")
        preview.render(preview.gather())
        assert "An edit, with" in (preview.site / "book/generative/unrun.html").read_text(encoding="utf-8")
        line = len(text.splitlines())
        assert any(f"unrun.md:{line}" in one and "nonsense" in one for one in told), told
        assert preview.version == 2
        path.write_text(text.replace("claims = declare(", "claims = declare(("), encoding="utf-8")
        with pytest.raises(PressError, match=r"unrun\.md:\d+"):
            preview.gather()
    finally:
        preview.close()
