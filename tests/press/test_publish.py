"""Publishing: equal input, equal bytes; nothing changed, nothing done; never a half site."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from kexue.press.project import BASE_URL
from kexue.press.project import REPOSITORY as REPOSITORY_VARIABLE
from kexue.press.results.benchmarks import write_benchmark
from kexue.press.results.snapshot import Edition
from kexue.press.site import build
from kexue.press.site.build import PublishError, publish
from kexue.press.site.chapter import ChapterPage
from kexue.press.site.data import mistakes, plain_formula, site_data, slowest_cells
from tests.site.tinybook import REPOSITORY, stale, tiny_edition, write_book, write_toc

MEANS = "book/language/means.html"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny book with its site, to be looked at and not changed."""
    root = tmp_path_factory.mktemp("book")
    write_book(root)
    publish(tiny_edition(root))
    return root


@pytest.fixture
def book(published: Path, tmp_path: Path) -> Path:
    """A copy of that book with its site, to be changed."""
    subprocess.run(["cp", "-a", f"{published}/.", str(tmp_path)], check=True)
    return tmp_path


def files(site: Path) -> dict[str, bytes]:
    """Every file of a site."""
    return {p.relative_to(site).as_posix(): p.read_bytes() for p in sorted(site.rglob("*")) if p.is_file()}


def differing(one: Path, other: Path) -> list[str]:
    """The files that two sites do not have in common."""
    here, there = files(one), files(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))


@pytest.fixture(autouse=True, scope="module")
def homeless() -> Iterator[None]:
    """What a workflow says of the book's addresses does not hold for the tiny book."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (REPOSITORY_VARIABLE, BASE_URL):
            patch.delenv(name, raising=False)
        yield


def html(root: Path, name: str = MEANS) -> str:
    """A page of the book's site."""
    return (root / "_build" / "html" / name).read_text(encoding="utf-8")


def test_two_builds_of_one_edition_have_the_same_bytes(published: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    report = publish(tiny_edition(published), other)
    assert not report.skipped
    assert files(other) == files(published / "_build" / "html")


def test_a_book_without_a_public_home_links_to_none(published: Path) -> None:
    for name in (MEANS, "book/library/kexue.means.html"):
        page = html(published, name)
        for elsewhere in ("colab", "mybinder", "og:url", 'rel="canonical"', "/blob/"):
            assert elsewhere not in page
    assert not (published / "_build" / "html" / "sitemap.xml").exists()


def test_an_unchanged_edition_is_not_built_again_and_costs_little(published: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (published / "_build" / "html").rglob("*")}
    edition = tiny_edition(published)
    report = publish(edition)
    assert report.skipped
    assert report.seconds < 1
    assert report.pages > 6
    assert before == {path: path.stat().st_mtime_ns for path in (published / "_build" / "html").rglob("*")}


def test_the_problems_are_reported_again_when_nothing_is_built(published: Path) -> None:
    problems = publish(tiny_edition(published)).problems
    assert "unrun is never run; no stored run" in problems
    assert "older is stale; module kexue.means changed" in problems
    assert len(problems) == 2


def test_the_first_page_counts_statements_in_print_and_the_others_apart(published: Path) -> None:
    tally = BeautifulSoup(html(published, "book/intro.html"), "html.parser").select_one(".kx-tally")
    counts = {item["class"][0]: item.b.text for item in tally.select("li")}
    assert counts == {"kx-reproduced": "2", "kx-refuted": "2", "kx-inconclusive": "0", "kx-untested": "2"}
    said = [line.select_one(".kx-if-en").text for line in tally.select("p")]
    assert said[0] == "Of 6 statements of articles and papers"
    assert said[1] == "Counted apart: checks 3 (0 reproduced), this book’s own claims 3 (0 reproduced)"
    assert said[2].startswith("All 12 claims on the scoreboard")


def test_a_claim_shows_its_kind_and_what_was_changed(published: Path) -> None:
    rows = BeautifulSoup(html(published), "html.parser").select(".kx-declared tr")
    (changed,) = [row for row in rows if "needs-full" in row.text]
    assert "ours, over seeds, from full scale" in changed.text
    assert "changed: the bar was 0.01 & <less>" in changed.text
    assert not [row for row in rows if "before" in row.text]
    board = BeautifulSoup(html(published, "book/scoreboard.html"), "html.parser")
    kinds = [row["data-kind"] for row in board.select("tr[data-kind]")]
    assert kinds == ["article", "paper", "check", "ours"] * 3
    offered = json.loads(board.select_one("#kexue-filters").string)["kind"]
    chinese = {"article": "原文", "paper": "论文", "check": "校验", "ours": "本书"}
    assert offered == [[kind, kind, word] for kind, word in chinese.items()]


def test_an_edit_of_the_prose_is_rendered(book: Path) -> None:
    chapter = book / "book" / "language" / "means.md"
    chapter.write_text(
        chapter.read_text(encoding="utf-8").replace("A wide table:", "A table, edited:"), encoding="utf-8"
    )
    assert not publish(tiny_edition(book)).skipped
    assert "A table, edited:" in html(book)
    assert "2.833 [2.116, 3.55] rank, n = 3" in html(book)


def test_a_library_edit_shows_in_the_source_with_its_line_in_the_repository(book: Path) -> None:
    module = book / "src" / "kexue" / "means.py"
    module.write_text(
        module.read_text(encoding="utf-8").replace("of `values`", "of these `values`"), encoding="utf-8"
    )
    config = book / "_config.yml"
    named = config.read_text(encoding="utf-8").replace('url: ""', "url: https://github.com/someone/kexue", 1)
    config.write_text(named, encoding="utf-8")
    assert not publish(tiny_edition(book)).skipped
    assert "of these `values`" in html(book)
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert f'href="https://github.com/someone/kexue/blob/{commit}/src/kexue/means.py#L6"' in html(book)


def test_stale_and_unexecuted_chapters_say_so_on_their_pages(published: Path) -> None:
    older, unrun = html(published, "book/language/older.html"), html(published, "book/generative/unrun.html")
    assert "Measured with older code" in older
    assert "module kexue.means changed" in older
    assert "measured with older code" in older
    assert "Not measured yet" in unrun
    assert "(not measured yet)" in unrun
    pictures = [
        path.read_text(encoding="utf-8") for path in (published / "_build/html/_images").glob("*.svg")
    ]
    assert sum("not drawn yet" in picture for picture in pictures) == 1
    assert "kx-banner" not in html(published)
    assert "Measured with older code" in html(published, "book/intro.html")


def test_a_run_without_its_pictures_is_a_problem(published: Path) -> None:
    edition = tiny_edition(published)
    (means,) = [c for c in edition.chapters if c.chapter.slug == "means"]
    for cell in means.notebook["cells"]:
        if cell["cell_type"] == "code" and cell["source"].startswith("draw"):
            cell["outputs"] = []
    page = ChapterPage(means, means.state)
    (problem,) = page.problems
    assert problem.startswith("means: the run left no picture in the figure cell 'means-fig-means'")
    (drawn,) = [cell for cell in page.notebook["cells"] if cell["source"].startswith("draw")]
    assert "the stored run left no picture here" in drawn["outputs"][0]["data"]["image/svg+xml"]


def test_a_stale_chapter_with_other_code_shows_the_cells_that_were_run(book: Path) -> None:
    ran = {chapter.chapter.slug: chapter.notebook for chapter in tiny_edition(book).chapters}
    chapter = book / "book" / "language" / "older.md"
    chapter.write_text(chapter.read_text(encoding="utf-8").replace("draw()", "draw(2)"), encoding="utf-8")
    now = tiny_edition(book)
    publish(Edition(book, tuple(replace(c, notebook=ran[c.chapter.slug]) for c in now.chapters)))
    shown = re.sub(r"<[^>]+>", "", html(book, "book/language/older.html"))
    assert "draw()" in shown
    assert "draw(2)" not in shown


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"n > 8.33\log N", "n > 8.33 log N"),
        (r"p(x)=\int p(z)\,dz", "p(x)=∫p(z)dz"),
        (r"\chi^2/2K", "χ²/2K"),
        (r"\bar W_1 \leq \infty", "W\u0304₁ ≤∞"),
        (r"x\in\mathbb{R}", "x∈R"),
        ("h_n<0", "h_n<0"),
    ],
)
def test_a_formula_of_a_card_is_a_line_of_text(tex: str, text: str) -> None:
    assert plain_formula(tex) == text


def test_each_page_counts_its_figures_from_one(published: Path) -> None:
    for name in ("book/language/means.html", "book/language/older.html", "book/generative/unrun.html"):
        page = BeautifulSoup(html(published, name), "html.parser")
        assert [number.get_text().strip() for number in page.select(".caption-number")] == ["Fig. 1"]
        assert "Fig. 1" in page.select_one("a .std-numref").get_text()


def test_of_many_reasons_the_first_are_shown(published: Path) -> None:
    edition = tiny_edition(published)
    reasons = tuple(f"module m{index} changed" for index in range(9))
    many = [replace(c, reasons=reasons) if c.chapter.slug == "older" else c for c in edition.chapters]
    (shown,) = [c for c in site_data(Edition(published, tuple(many)))["chapters"] if c["slug"] == "older"]
    assert shown["reasons"] == [*reasons[:3], "and 6 more: kexue why older"]


def test_a_verdict_that_differs_from_the_record_is_on_the_page_and_in_the_report(book: Path) -> None:
    edition = tiny_edition(book)
    changed = tuple(
        replace(chapter, differences=("human-first: refuted, on record reproduced",))
        if chapter.chapter.slug == "means"
        else chapter
        for chapter in edition.chapters
    )
    report = publish(Edition(book, changed))
    assert "means: human-first: refuted, on record reproduced" in report.problems
    assert "human-first: refuted, on record reproduced" in html(book)


def test_a_removed_and_a_renamed_chapter_leave_no_page(book: Path) -> None:
    (book / "book" / "language" / "older.md").unlink()
    (book / "book" / "generative" / "unrun.md").rename(book / "book" / "generative" / "renamed.md")
    write_toc(book, "book/language/means", generative=("book/generative/renamed",))
    edition = tiny_edition(book)
    publish(Edition(book, tuple(stale(c) if c.chapter.slug == "renamed" else c for c in edition.chapters)))
    parts = ("book/language/", "book/generative/")
    pages = {name for name in files(book / "_build" / "html") if name.startswith(parts)}
    assert {name for name in pages if name.endswith(".html")} == {MEANS, "book/generative/renamed.html"}
    assert {Path(name).stem for name in pages} == {"means", "renamed"}


def test_a_chapter_that_the_contents_do_not_list_is_a_problem(book: Path) -> None:
    write_toc(book, "book/language/means", "book/language/missing", generative=("book/generative/unrun",))
    problems = publish(tiny_edition(book)).problems
    assert "book/language/older is not listed in _toc.yml and has no page" in problems
    assert "_toc.yml lists book/language/missing, which is no page; it is left out" in problems


@pytest.mark.parametrize("damage", ["tampered", "missing and extra", "manifest"])
def test_a_site_that_is_not_as_it_was_written_is_built_again(book: Path, damage: str) -> None:
    site = book / "_build" / "html"
    sound = files(site)
    if damage == "tampered":
        page = site / MEANS
        page.write_bytes(page.read_bytes().replace(b"2.833", b"1.000"))
    elif damage == "missing and extra":
        (site / "searchindex.js").unlink()
        (site / "extra.html").write_text("not ours", encoding="utf-8")
    else:
        (book / "_build" / "html.manifest.json").write_text("{", encoding="utf-8")
    report = publish(tiny_edition(book))
    assert not report.skipped
    assert files(site) == sound


def test_a_figure_without_alt_text_and_names_that_stand_for_nothing_are_problems(book: Path) -> None:
    chapter = book / "book" / "language" / "means.md"
    text = chapter.read_text(encoding="utf-8").replace('image: {alt: "Rising"}, ', "")
    text += (
        "\nHere {verdict}`no-such-claim`, {measured}`nor-this`, and\n\n```{library} kexue.means.gone\n```\n"
    )
    chapter.write_text(text, encoding="utf-8")
    problems = " ".join(publish(tiny_edition(book)).problems)
    assert "the figure of cell fig-means has no alt text" in problems
    for name in ("no-such-claim", "nor-this", "kexue.means.gone"):
        assert name in problems
        assert name in html(book)


def test_a_warning_of_sphinx_ends_the_build_and_the_old_site_stands(book: Path) -> None:
    before = files(book / "_build" / "html")
    chapter = book / "book" / "language" / "means.md"
    chapter.write_text(chapter.read_text(encoding="utf-8") + "\nSee {ref}`nowhere`.\n", encoding="utf-8")
    with pytest.raises(PublishError, match="nowhere"):
        publish(tiny_edition(book))
    assert files(book / "_build" / "html") == before
    assert not list((book / "_build").glob(".html-*"))


def test_a_renderer_that_does_not_end_is_ended_and_the_old_site_stands(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(book / "_build" / "html")
    (book / "book" / "how-to-read.md").write_text("# Another page\n", encoding="utf-8")
    monkeypatch.setattr("kexue.press.site.build._RENDER_LIMIT", 0.01)
    with pytest.raises(PublishError, match=r"not rendered within 0\.01 s"):
        publish(tiny_edition(book))
    assert files(book / "_build" / "html") == before


def test_a_killed_build_leaves_the_old_site_and_the_next_one_is_whole(book: Path) -> None:
    site = book / "_build" / "html"
    before = files(site)
    chapter = book / "book" / "language" / "means.md"
    chapter.write_text(chapter.read_text(encoding="utf-8").replace("A wide", "A very wide"), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from kexue.press.site.build import publish; "
        "from tests.site.tinybook import tiny_edition; publish(tiny_edition(Path(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    builder = subprocess.Popen(
        [sys.executable, "-c", code, str(book)], env=environment, start_new_session=True
    )
    waited = time.monotonic() + 60
    while not list((book / "_build").glob(".kept-html/source/_kexue")) and time.monotonic() < waited:
        time.sleep(0.02)
    os.killpg(builder.pid, signal.SIGKILL)
    assert builder.wait() == -signal.SIGKILL
    assert files(site) == before
    assert not publish(tiny_edition(book)).skipped
    assert "A very wide" in html(book)
    assert not list((book / "_build").glob(".html-*"))


def test_no_place_of_a_machine_is_on_the_site(book: Path) -> None:
    edition = tiny_edition(book)
    (means,) = [one for one in edition.chapters if one.chapter.slug == "means"]
    cells = [cell for cell in means.notebook["cells"] if cell["cell_type"] == "code"]
    places = [
        f"{book}/src/kexue/means.py:3: UserWarning: of the book",
        f"{Path.home()}/data/board.csv was read",
        "/tmp/ipykernel_4711/1234.py:5: UserWarning: of a cell",
        f"{sys.prefix}/lib/python3.11/site-packages/numpy/core.py:9: of a library",
        "/opt/elsewhere/venv/lib/python3.12/site-packages/torch/nn.py:9: of another machine",
    ]
    cells[-1]["outputs"] = [{"output_type": "stream", "name": "stderr", "text": "\n".join(places)}]
    others = [one for one in edition.chapters if one is not means]
    others[0] = replace(others[0], reasons=(f"{book}/book/x.md:3: raised",))
    publish(Edition(book, (means, *others)))
    for name, content in files(book / "_build" / "html").items():
        for place in (str(book), f"{Path.home()}/", "ipykernel_", "/opt/elsewhere", "site-packages"):
            assert place.encode() not in content, (name, place)
    page = html(book)
    for said in (
        "UserWarning: of the book",
        "board.csv was read",
        "of a cell",
        "numpy/core.py:9",
        "torch/nn.py:9",
    ):
        assert said in page


def test_a_misspelt_key_figure_and_a_record_of_no_chapter_are_told(book: Path) -> None:
    chapter = book / "book" / "language" / "means.md"
    text = chapter.read_text(encoding="utf-8").replace("key_figure: fig-means", "key_figure: fig-mean")
    chapter.write_text(text, encoding="utf-8")
    (book / "results").mkdir()
    (book / "results" / "renamed.json").write_text("{}", encoding="utf-8")
    edition = tiny_edition(book)
    said = mistakes(edition, site_data(edition))
    assert "means: `kexue.key_figure` is 'fig-mean', but the figures are fig-means" in said
    assert "results/renamed.json is the record of no chapter; remove or rename it" in said


def test_one_changed_page_is_rendered_alone_and_the_site_is_that_of_a_clean_rendering(
    book: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    publish(tiny_edition(book), book / "_build" / "other")  # a rendering to go on from
    kept = book / "_build" / ".kept-other" / "html" / "book"
    written = {path: path.stat().st_mtime_ns for path in kept.rglob("*.html")}
    chapter = book / "book" / "language" / "means.md"
    text = chapter.read_text(encoding="utf-8").replace("A wide table:", "A table, edited, with $x^2$:")
    chapter.write_text(text, encoding="utf-8")
    edition = tiny_edition(book)
    changed = replace(edition.chapters[0], reasons=("module kexue.other changed",))  # data alone
    edition = Edition(book, (changed, *edition.chapters[1:]))
    publish(edition, book / "_build" / "other")
    again = {
        path.relative_to(kept).as_posix() for path, at in written.items() if path.stat().st_mtime_ns != at
    }
    assert {
        "language/means.html",
        f"{changed.chapter.part}/{changed.chapter.slug}.html",
        "scoreboard.html",
    } <= again
    assert "library/kexue.means.html" not in again
    clean = tmp_path_factory.mktemp("clean") / "site"
    publish(edition, clean)
    assert differing(clean, book / "_build" / "other") == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("book/language/means.md", "title: Means", "title: Means anew"),
        ("book/language/means.md", "## Verdicts, limits", "## What was found, limits"),
        ("book/language/means.md", "draw()", "draw( )"),
        ("src/kexue/means.py", "The power mean of", "The mean of"),
        ("_config.yml", "Kexue, Executed", "Another name"),
        ("book/_static/kexue.css", "", "/* new */"),
    ],
)
def test_whatever_changes_the_site_is_that_of_a_clean_rendering(
    book: Path, tmp_path_factory: pytest.TempPathFactory, name: str, old: str, new: str
) -> None:
    path = book / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    publish(tiny_edition(book))
    clean = tmp_path_factory.mktemp("clean") / "site"
    publish(tiny_edition(book), clean)
    assert differing(clean, book / "_build" / "html") == []


def test_a_warning_is_told_again_when_nothing_else_has_changed(book: Path) -> None:
    chapter = book / "book" / "language" / "means.md"
    chapter.write_text(chapter.read_text(encoding="utf-8") + "\nSee {ref}`nowhere`.\n", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(PublishError, match="nowhere"):
            publish(tiny_edition(book))


def test_the_site_is_there_at_every_moment_of_a_swap(tmp_path: Path) -> None:
    old, new = tmp_path / "html", tmp_path / "side"
    for folder, text in ((old, "old"), (new, "new")):
        folder.mkdir()
        (folder / "page").write_text(text)
    build._swap(new, old)
    assert (old / "page").read_text() == "new"
    if build._exchange(
        old, old.with_name("html")
    ):  # this system exchanges folders: the old site is where the new one was
        assert (new / "page").read_text() == "old"


def test_a_swap_cut_in_the_middle_is_repaired(book: Path) -> None:
    site = book / "_build" / "html"
    before = files(site)
    site.rename(book / "_build" / "html.old")
    assert publish(tiny_edition(book)).skipped
    assert files(site) == before


RECORDED = {
    "benchmark": "means",
    "machine": "A processor, 4 cores",
    "when": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "rows": [
        {"n": 1024, "ours, s": 0.12345, "peer, s": 0.5, "agrees": True},
        {"n": 4096, "ours, s": 2.0, "peer, s": None},
    ],
}


def test_recorded_benchmarks_are_plain_tables_with_machine_time_and_commit(book: Path) -> None:
    assert "Benchmarks: none yet." in html(book, "book/speed.html")
    write_benchmark(book, RECORDED)
    assert not publish(tiny_edition(book)).skipped
    page = BeautifulSoup(html(book, "book/speed.html"), "html.parser")
    section = page.select_one("section.kx-benchmark")
    assert section is not None
    assert [head.get_text() for head in section.select("th")] == ["n", "ours, s", "peer, s", "agrees"]
    rows = [[cell.get_text() for cell in row.select("td")] for row in section.select("tbody tr")]
    assert rows == [["1024", "0.123", "0.5", "True"], ["4096", "2", "–", "–"]]
    facts = section.get_text()
    for said in ("A processor, 4 cores", "2026-01-02 03:04", "0123456789ab"):
        assert said in facts


def test_what_is_wrong_with_a_record_is_in_the_report_and_hides_no_page(book: Path) -> None:
    first, *others = tiny_edition(book).chapters
    problem = "results/means.json: not JSON; freeze it again"
    shown = Edition(book, (replace(first, problems=(problem,)), *others))
    folder = write_benchmark(book, RECORDED).parent
    (folder / "other.json").write_text("{", encoding="utf-8")
    report = publish(shown)
    assert f"{first.chapter.slug}: {problem}" in report.problems
    (other,) = [problem for problem in report.problems if "other.json" in problem]
    assert other.startswith("benchmarks/results/other.json: ")
    assert "A processor, 4 cores" in html(book, "book/speed.html")


def test_the_slowest_cells_are_those_of_the_runs_that_recorded_their_times(
    published: Path, tmp_path: Path
) -> None:
    (means,) = [c for c in tiny_edition(published).chapters if c.chapter.slug == "means"]
    assert slowest_cells(means) == []
    cells = [cell for cell in means.notebook["cells"] if cell["cell_type"] == "code"]
    times = [0.5] * len(cells)
    times[3] = 10.0
    first, second, third = means.runs
    timed = replace(
        means,
        runs=(
            {**first, "cell_seconds": times},
            {**second, "cell_seconds": [2 * one for one in times]},
            {**third, "cell_seconds": times[1:]},
        ),
    )
    slow, *_ = found = slowest_cells(timed)
    assert len(found) == 3
    assert (slow["number"], slow["of"], slow["seconds"]) == (4, len(cells), 15.0)
    assert slow["share"] == pytest.approx(15 / (15 + 0.75 * (len(cells) - 1)))
    assert slow["line"] in cells[3]["source"]
    assert slow["line"].split()[0] not in ("import", "from", "#")
    others = [c for c in tiny_edition(published).chapters if c.chapter.slug != "means"]
    publish(Edition(published, (*others, timed)), tmp_path / "timed")
    page = (tmp_path / "timed" / "book" / "speed.html").read_text(encoding="utf-8")
    assert "15.0 s" in page
    assert escape(slow["line"]) in page
