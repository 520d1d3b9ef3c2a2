"""What leaves the site: the branch of notebooks that its buttons open, the PDF of the book, the preview's page."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from kexue.press.project import Addresses, PressError, addresses
from kexue.press.results.snapshot import Edition
from kexue.press.site.build import publish
from kexue.press.site.downloads import readers_notebook, write_branch
from kexue.press.site.offline import whole_book
from kexue.press.site.preview import Preview
from kexue.press.sources.new import make_chapter
from kexue.press.store.store import Store
from tests.press.tiny_book import draw_in_the_cell
from tests.site.published import Published
from tests.site.tinybook import REPOSITORY, tiny_edition, write_book

HOME = "https://github.com/someone/kexue"
SITE = "https://someone.example/kexue/"
HUB = "https://hub.example"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


LINKS = """[Older](older.md), {doc}`older still <older>`, [never run](../generative/unrun.md),
[how to read](../how-to-read.md), [the picture](#fig-means)."""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """The tiny book with public addresses, and its site with a PDF where there is a browser to print it."""
    root = tmp_path_factory.mktemp("home")
    write_book(root)
    config = root / "_config.yml"
    text = config.read_text(encoding="utf-8")
    for key, address in {'url: ""': HOME, 'baseurl: ""': SITE, 'jupyterhub_url: ""': HUB}.items():
        assert key in text
        text = text.replace(key, key.replace('""', address), 1)
    config.write_text(text, encoding="utf-8")
    path = root / "book" / "language" / "means.md"
    path.write_text(path.read_text(encoding="utf-8").replace("A long name:", f"{LINKS}\n\nA long name:"))
    edition = tiny_edition(root)
    publish(edition, pdf=any(map(shutil.which, BROWSERS)))
    return edition


@pytest.fixture(scope="module")
def branch(book: Edition, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the branch of notebooks holds."""
    folder = tmp_path_factory.mktemp("branch") / "notebooks"
    write_branch(book, folder)
    return folder


def test_every_link_of_the_site_and_of_the_notebooks_leads_to_what_is_published(
    book: Edition, branch: Path
) -> None:
    site, seen, broken = book.root / "_build" / "html", Counter[str](), []
    ours = Published(site, branch, book.root, addresses(book.root), HUB)
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        links = re.findall(r'\b(?:href|src)="([^"#]+(?:#[^"]*)?)"', text)
        for address in links + re.findall(r'property="og:url" content="([^"]+)"', text):
            link = unescape(address)
            if re.match(r"https?:", link):
                there = ours.has(link)
                seen[urlsplit(link).netloc] += there is not None
            elif re.search(r"\.\w+(?:[?#].*)?$", link) and " " not in link:
                there = (page.parent / unquote(urlsplit(link).path)).is_file()
                seen["site"] += 1
            else:
                there = None
            broken += [f"{page.relative_to(site)}: {link}"] if there is False else []
    for folder in (branch, site):
        for notebook in folder.rglob("*.ipynb"):
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            for link in re.findall(r"\]\(([^)\s]+)\)", "\n".join(_text(cell) for cell in cells)):
                there = ours.has(link) if ":" in link else (notebook.parent / link).is_file()
                seen["notebooks"] += 1
                broken += [f"{notebook.name}: {link}"] if there is False else []
    assert not broken, "\n".join(broken)
    assert {
        "colab.research.google.com",
        "mybinder.org",
        "hub.example",
        "github.com",
        "someone.example",
    } <= set(seen)
    assert seen["mybinder.org"] == seen["hub.example"] == 2  # what was never run has nothing to open
    assert seen["notebooks"] >= 8


def _text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""


def test_a_reader_s_notebook_has_the_claims_of_the_text_and_their_verdicts(tmp_path: Path) -> None:
    write_book(tmp_path)

    def outputs(slug: str) -> tuple[str, str]:
        chapters = {chapter.chapter.slug: chapter for chapter in tiny_edition(tmp_path).chapters}
        notebook, _ = readers_notebook(chapters[slug], tmp_path)
        assert notebook is not None
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        shown = [
            output["data"]["text/html"]
            for cell in code
            for output in cell["outputs"]
            if "text/html" in output["data"]
        ]
        (claims,) = [cell for cell in code if "claims" in cell["metadata"].get("tags", ())]
        return "".join(claims["source"]), "".join(shown)

    source, html = outputs("means")
    assert "expect: ≥ 0\n" in source
    assert "0.25" in html
    assert "✓ reproduced" in html
    path = tmp_path / "book" / "language" / "means.md"
    text = path.read_text(encoding="utf-8")
    assert "<never> falls." in text
    text = text.replace("<never> falls.", "<never> rises.").replace("expect: ≥ 0\n", "expect: ≥ 1\n")
    path.write_text(text, encoding="utf-8")
    source, html = outputs("means")
    assert "expect: ≥ 1\n" in source
    assert "never&gt; rises." in html
    assert "✓ reproduced" not in html
    assert "✗ refuted" in html
    _, html = outputs("older")
    assert "one run" in html  # of other code than the text: as it was shown then


def test_a_notebook_alone_says_where_its_links_lead(book: Edition, branch: Path) -> None:
    cells = json.loads((branch / "book/language/means.ipynb").read_text(encoding="utf-8"))["cells"]
    (text,) = [_text(cell) for cell in cells if "never run" in _text(cell)]
    shown = text.split("\n\nA long name")[0].rsplit("\n\n", 1)[-1]
    assert shown == (
        f"[Older](older.ipynb), [older still](older.ipynb), [never run]({SITE}book/generative/unrun.html),\n"
        f"[how to read]({SITE}book/how-to-read.html), the picture."
    )


def test_a_workflow_says_where_the_book_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_book(tmp_path)
    assert addresses(tmp_path) == Addresses("", "", "")
    monkeypatch.setenv("KEXUE_REPOSITORY", "https://github.com/a-fork/kexue/")
    monkeypatch.setenv("KEXUE_BASE_URL", "https://a-fork.example/kexue")
    assert addresses(tmp_path) == Addresses(
        "https://github.com/a-fork/kexue", "https://a-fork.example/kexue/", ""
    )
    (tmp_path / "new").mkdir()
    write_branch(tiny_edition(tmp_path), tmp_path / "new")
    assert "git+https://github.com/a-fork/kexue@" in (tmp_path / "new" / "requirements.txt").read_text()


def test_a_site_with_an_address_says_what_its_pages_are(book: Edition) -> None:
    site = book.root / "_build" / "html"
    listed = re.findall(r"<loc>([^<]+)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8"))
    pages = {path.relative_to(site).as_posix() for path in (site / "book").rglob("*.html")}
    assert listed == sorted(f"{SITE}{name}" for name in pages)
    page = BeautifulSoup((site / "book/language/means.html").read_text(encoding="utf-8"), "html.parser")
    said = {str(tag["property"]): str(tag["content"]) for tag in page.select("meta[property]")}
    assert said["og:url"] == f"{SITE}book/language/means.html"
    assert said["og:title"].startswith("Means")
    assert said["og:description"].startswith("One sentence that says what the chapter finds")
    assert "og:image" not in said


def test_the_notebooks_install_the_library_of_their_commit(branch: Path) -> None:
    first = json.loads((branch / "book/language/means.ipynb").read_text(encoding="utf-8"))["cells"][0]
    assert f'%pip install --quiet "kexue @ git+{HOME}@{COMMIT}"' in first["source"]
    assert f"git+{HOME}@" in (branch / "requirements.txt").read_text(encoding="utf-8")


def test_the_branch_wants_a_new_folder_and_a_home(
    book: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(PressError, match="not empty"):
        write_branch(book, tmp_path / "full")
    monkeypatch.delenv("KEXUE_REPOSITORY", raising=False)
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
    outline = {
        bytes.fromhex(title.decode()).decode("utf-16") for title in re.findall(rb"/Title ?<([0-9A-F]+)>", pdf)
    } | {title.decode("latin-1") for title in re.findall(rb"/Title ?\(([^)]*)\)", pdf)}
    listed = yaml.safe_load((book.root / "_toc.yml").read_text(encoding="utf-8"))
    pages = [listed["root"], *(entry["file"] for part in listed["parts"] for entry in part["chapters"])]
    for name in pages:  # each begins on a paper of its own, under its title
        page = BeautifulSoup(
            (book.root / f"_build/html/{name}.html").read_text(encoding="utf-8"), "html.parser"
        )
        heading = page.select_one("article h1")
        assert heading is not None
        english = heading.select_one(".kx-en") or heading
        title = "".join(english.get_text().removesuffix("#").split())  # a line's end swallows its space
        assert any("".join(one.split()).startswith(title) for one in outline), title
    assert len(re.findall(rb"/Type ?/Page\b", pdf)) > len(pages)
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
    source += "\nSee {doc}`older <../language/older>`, [means](../language/means.md), [none](../language/none.md).\n"
    path.write_text(source, encoding="utf-8")
    told: list[str] = []
    preview = Preview(
        tmp_path, "unrun", Store(tmp_path / ".kexue"), profile="quick", device="cpu", tell=told.append
    )
    try:
        assert preview.render(preview.gather()), told
        assert [line for line in told if "none" in line], "a link to nowhere is told"
        assert not [line for line in told if "means" in line or "older" in line], told
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


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")  # Sphinx's own
def test_a_preview_runs_changed_code_and_shows_the_new_number(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    for name in ("_config.yml", "jupytext.toml"):
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "book" / "_static", tmp_path / "book" / "_static")
    (tmp_path / "book" / "intro.md").write_text("# A book\n")
    toc = "format: jb-book\nroot: book/intro\nparts:\n  - caption: Language\n    chapters: []\n"
    (tmp_path / "_toc.yml").write_text(toc)
    path, *_ = make_chapter(tmp_path, "mine", part="language", title="Mine", title_zh="我的")
    measure = 'claims.measure("mean-zero", draws)'
    draw_in_the_cell(path)
    path.write_text(path.read_text().replace(measure, measure.replace("draws", "draws * 1e-6 + 0.125")))
    told: list[str] = []
    store = Store(tmp_path / ".kexue")
    preview = Preview(tmp_path, "mine", store, profile="smoke", device="cpu", tell=told.append)
    seen: list[str] = []

    def look() -> bool:
        """Called before each look at the files: note what the page says, edit once, stop once it has changed."""
        if preview.version == 0:
            return False
        page = (preview.site / "book/language/mine.html").read_text(encoding="utf-8")
        box = page.split('id="claim-mean-zero"')[1].split("</dl>")[0]
        seen.append(re.sub(r"<[^>]+>", " ", box))
        if len(seen) == 1:
            path.write_text(path.read_text().replace("0.125", "0.875"))
        return len(seen) == 2

    try:
        preview.watch(look)
    finally:
        preview.close()
    before, after = seen
    for number, verdict, box in (("0.125", "reproduced", before), ("0.875", "refuted", after)):
        assert number in box, told
        assert verdict in box, told
    assert [line for line in told if line == "run finished"] == ["run finished"] * 2, told
    assert any("cell" in line and "changed" in line for line in told), told
