"""What a chapter displays is shown and nothing more: no script of it runs, nothing foreign loads, text stays text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from kexue.press.site.build import PublishError, publish
from kexue.press.sphinx_ext.policy import policy_of, refused

from .conftest import ServedSite, serve
from .tinybook import CURVE, tiny_edition, write_book
from .visit import opened

ODD = '[/INST] [red] <b>bold</b> <img src=x onerror="document.title=1"> | {braces} & "quoted"'
MEANS = "book/language/means.md"


def chapter_with(root: Path, *changes: tuple[str, str], more: str = "") -> None:
    """Write the tiny book with the text of one chapter changed."""
    write_book(root)
    path = root / MEANS
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text + more, encoding="utf-8")


@pytest.mark.parametrize(
    ("html", "told"),
    [
        ("<script>alert(1)</script>", "<script>"),
        ('<b onclick="alert(1)">x</b>', "onclick"),
        ('<a href=" java\tscript:alert(1)">x</a>', "href="),
        ('<img src="https://elsewhere.example/x.png">', "elsewhere.example"),
        ('<img src="//elsewhere.example/x.png">', "elsewhere.example"),
        ('<video poster="http://elsewhere.example/x.png"></video>', "elsewhere.example"),
        ('<iframe src="x.html"></iframe>', "<iframe>"),
        ('<svg><script href="x.js"></script></svg>', "<script>"),
        ("<base href='https://elsewhere.example'>", "<base>"),
    ],
)
def test_what_no_page_may_do_is_told(html: str, told: str) -> None:
    assert told in " ".join(refused(f"<div>{html}</div>"))


def test_what_a_table_or_a_link_needs_is_not_refused() -> None:
    plain = (
        '<style scoped>td { color: red }</style><table border="1" class="dataframe"><tr><td>1</td></tr></table>'
        '<a href="https://elsewhere.example">x</a><img src="data:image/png;base64,AAAA">'
    )
    assert list(refused(plain)) == []


def test_only_the_theme_s_scripts_are_named_in_the_policy() -> None:
    page = "<head><script>ours()</script></head><article><script>theirs()</script></article>"
    assert policy_of(page) == policy_of(page.replace("theirs", "others"))
    assert policy_of(page) != policy_of(page.replace("ours", "others"))


def test_a_cell_that_says_so_may_run_a_script_of_its_own_and_no_other() -> None:
    script = "<form><input></form><script>theirs()</script>"
    assert list(refused(script, interactive=True)) == []
    for html in (
        '<script src="x.js"></script>',
        '<form action="x"></form>',
        '<b onclick="x()">x</b>',
        "<iframe>",
    ):
        assert list(refused(html, interactive=True))
    page = '<head></head><article><div class="cell tag_interactive"><script>theirs()</script></div></article>'
    assert policy_of(page) != policy_of(page.replace("theirs", "others"))
    assert policy_of(page.replace("tag_interactive", "tag_other")) == policy_of("<head></head>")


def test_displayed_html_that_runs_or_loads_ends_the_build_by_its_line(tmp_path: Path) -> None:
    more = (
        '\n\n<div onclick="alert(1)">Here</div>\n\n<a href="javascript:alert(1)">there</a>\n\n'
        '<div><img src="gone.png" alt="gone"></div>\n\n<img src="also-gone.png" alt="gone">\n'
    )
    chapter_with(tmp_path, more=more)
    with pytest.raises(PublishError) as error:
        publish(tiny_edition(tmp_path))
    said = str(error.value)
    lines = (tmp_path / MEANS).read_text(encoding="utf-8").split("\n")
    for what, where in (
        ("the event handler onclick", "<div onclick"),
        ("'gone.png', which is no file", '<div><img src="gone.png"'),
        ("also-gone.png", '<img src="also-gone.png"'),
    ):
        (told,) = [line for line in said.split("\n") if what in line]
        line = next(number for number, text in enumerate(lines, start=1) if text.startswith(where))
        assert f"{MEANS}:{line}:" in told
    assert "href='javascript:alert(1)'" in said


@pytest.fixture(scope="module")
def odd_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose chapter has markup in its names, pictures with odd names, and TeX macros of its own."""
    root = tmp_path_factory.mktemp("odd")
    quoted = ODD.replace('"', '\\"')
    chapter_with(
        root,
        ("title: Means\n", f'title: "{quoted}"\n'),
        ("title_zh: 幂平均", f'title_zh: "{quoted}"'),
        ('https://kexue.fm/archives/0000"}', 'javascript:alert(1)"}'),
        ("The human row stays first.", "The human row [/INST] | {braces} stays first."),
        more=(
            "\n\n![Spaces](<a picture.svg>) ![Chinese](图一.svg) ![Encoded](another%20one.svg)\n\n"
            '<img src="图%20二.svg" alt="In HTML">\n\nSo $x \\in \\RR$ and $\\norm{x}$ and $\\half$.\n'
        ),
    )
    for name in ("a picture", "图一", "another one", "图 二"):
        (root / "book" / "language" / f"{name}.svg").write_text(CURVE, encoding="utf-8")
    config = (root / "_config.yml").read_text(encoding="utf-8")
    config += (
        "    kexue_macros: {RR: '\\mathbb{R}', norm: '\\lVert #1\\rVert'}\n"
        "    mathjax3_config: {tex: {macros: {half: ['\\frac12', 0]}}}\n"
    )
    (root / "_config.yml").write_text(config, encoding="utf-8")
    publish(tiny_edition(root))
    return root / "_build" / "html"


def test_markup_in_names_is_shown_as_it_was_typed(odd_site: Path) -> None:
    for name in ("book/language/means.html", "book/intro.html", "book/scoreboard.html", "book/speed.html"):
        page = BeautifulSoup((odd_site / name).read_text(encoding="utf-8"), "html.parser")
        assert not page.select("img[src=x], [onerror]"), name
        assert ODD in page.get_text(), name
        assert not page.select("[href^='javascript:']"), name
    page = BeautifulSoup((odd_site / "book/scoreboard.html").read_text(encoding="utf-8"), "html.parser")
    assert "The human row [/INST] | {braces} stays first." in page.get_text()


def test_pictures_with_spaces_and_chinese_in_their_names_are_there(odd_site: Path) -> None:
    page = BeautifulSoup((odd_site / "book/language/means.html").read_text(encoding="utf-8"), "html.parser")
    for alt in ("Spaces", "Chinese", "Encoded", "In HTML"):
        (image,) = page.select(f'img[alt="{alt}"]')
        assert (odd_site / "book" / "language" / unquote(image["src"])).resolve().is_file()


def test_the_book_s_own_tex_macros_are_set(odd_site: Path) -> None:
    page = (odd_site / "book/language/means.html").read_text(encoding="utf-8")
    assert '<mi mathvariant="double-struck">R</mi>' in page
    assert "∥" in page
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in page


@pytest.mark.browser
def test_no_script_of_a_page_s_text_runs_and_the_site_s_own_do(browser: Browser, odd_site: Path) -> None:
    page_file = odd_site / "book" / "language" / "means.html"
    page_file.write_text(
        page_file.read_text(encoding="utf-8").replace(
            "</article>", "<script>document.title = 'ran'</script></article>", 1
        ),
        encoding="utf-8",
    )
    site: ServedSite
    for site in serve(odd_site):
        with opened(browser, site, "book/language/means.html", locale="en-GB") as (page, wrong):
            assert page.title() != "ran"
            assert any("Content Security Policy" in said for said in wrong)
            page.get_by_role("button", name="中文").click()
            assert page.evaluate("document.documentElement.dataset.language") == "zh"
            page.evaluate("document.documentElement.requestFullscreen = () => { window.asked = true; }")
            page.locator("[onclick='toggleFullScreen()']").first.click()
            assert page.evaluate("window.asked === true || document.fullscreenElement !== null")
