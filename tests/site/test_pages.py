"""The site in a real browser with the network cut, and its links."""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from kexue.press.project import addresses
from tests.book.chapters import ROOT

from .conftest import ServedSite
from .published import Published
from .visit import opened


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_follows_the_reader_s_theme(
    browser: Browser, served_tiny_site: ServedSite, theme: str
) -> None:
    with opened(browser, served_tiny_site, "book/intro.html", color_scheme=theme) as (page, _):
        assert page.evaluate("() => document.documentElement.dataset.theme") == theme


@pytest.mark.browser
def test_the_address_of_the_site_leads_to_the_first_page(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    page = browser.new_page()
    page.goto(served_tiny_site.address)
    page.wait_for_url("**/book/intro.html")
    page.close()


@pytest.mark.browser
def test_the_scoreboard_is_complete_without_scripts_and_filters_with_them(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/scoreboard.html", java_script_enabled=False) as (page, _):
        assert page.locator(".kx-scoreboard tbody tr").count() == 12
        assert page.locator(".kx-filter").count() == 0
    with opened(browser, served_tiny_site, "book/scoreboard.html") as (page, _):
        visible = page.locator(".kx-scoreboard tbody tr:visible")
        page.get_by_label("Verdict").select_option("refuted")
        assert visible.count() == 2
        page.get_by_label("Chapter").select_option(label="Means")
        assert visible.count() == 1
        page.get_by_label("Words").fill("人类")
        assert visible.count() == 1
        page.get_by_label("Words").fill("nothing like this")
        assert visible.count() == 0


@pytest.mark.browser
def test_the_page_of_a_chapter_says_what_was_measured(browser: Browser, served_tiny_site: ServedSite) -> None:
    with opened(browser, served_tiny_site, "book/language/means.html") as (page, _):
        boxes = page.locator(".kx-measurement")
        assert boxes.evaluate_all("(all) => all.map((box) => box.id)") == [
            "claim-mean-grows",
            "claim-human-first",
            "claim-ratio-large",
        ]
        pooled = page.locator("#claim-human-first").inner_text()
        assert "refuted" in pooled
        assert "2.833 [2.116, 3.55] rank, n = 3" in pooled
        assert "one run" not in page.locator("article").first.inner_text()
        picture = page.locator("#claim-ratio-large svg.kx-picture").get_attribute("aria-label") or ""
        assert picture.startswith("Measured 2.233")
        assert page.locator("text=measured with older code").count() > 0
        assert page.locator(".kx-banner").count() == 0
        assert page.locator(".katex").count() >= 3
        source = page.locator(".kx-library span a").first.get_attribute("href") or ""
        assert re.fullmatch(
            r"https://github.com/someone/kexue/blob/[0-9a-f]{40}/src/kexue/means.py#L6", source
        )


def test_the_menu_opens_the_page_s_own_part_and_has_one_link_for_each_other(tiny_site: Path) -> None:
    def menu(name: str) -> list[str]:
        page = BeautifulSoup((tiny_site / name).read_text(encoding="utf-8"), "html.parser")
        return [link["href"] for link in page.select(".bd-links a")]

    own = ["../intro.html", "../how-to-read.html", "../generative/unrun.html", "#", "older.html"]
    assert menu("book/language/means.html") == [*own, "../library/overview.html"]
    inside = menu("book/library/kexue.means.html")
    assert inside[-2:] == ["overview.html", "#"]
    assert len(inside) == 6


def test_the_library_s_overview_says_how_to_import(tiny_site: Path) -> None:
    page = BeautifulSoup(
        (tiny_site / "book/library/overview.html").read_text(encoding="utf-8"), "html.parser"
    )
    (line,) = page.select(".kx-import")
    assert line.get_text() == "from kexue.means import power_mean, Scale"


def test_every_internal_link_leads_somewhere(site: ServedSite) -> None:
    identifiers: dict[str, set[str]] = {}
    broken = []
    for name in site.pages():
        html = (site.folder / name).read_text(encoding="utf-8")
        for href in re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', html):
            target = urlsplit(urljoin(f"/{name}", href.replace("&amp;", "&")))
            if target.scheme or target.netloc or href == "#":
                continue
            path = unquote(target.path).lstrip("/")
            if not (site.folder / path).is_file():
                broken.append(f"{name}: {href} is no file")
                continue
            if target.fragment and path.endswith(".html"):
                known = identifiers.setdefault(path, _identifiers(site.folder / path))
                if unquote(target.fragment) not in known:
                    broken.append(f"{name}: {href} has no such place")
    assert not broken, "\n".join(broken)


def _identifiers(path: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))


def test_no_page_names_a_third_party_it_would_load_from(site: ServedSite) -> None:
    loads = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]+)"')
    canonical = re.compile(
        r'<link\b[^>]*\brel="canonical"[^>]*>'
    )  # the page's own address, which nothing loads
    found = [
        f"{name}: {url}"
        for name in site.pages()
        for url in loads.findall(canonical.sub("", (site.folder / name).read_text(encoding="utf-8")))
    ]
    found += [
        f"{name}: thebe"
        for name in site.pages()
        if "unpkg" in (site.folder / name).read_text(encoding="utf-8")
    ]
    assert not found, "\n".join(found)


def test_what_the_pages_open_elsewhere_is_in_the_branch_of_notebooks(site: ServedSite) -> None:
    """Of the book that CI has built for its public home; the tiny book's is looked at in `test_taken_away.py`."""
    branch = os.environ.get("KEXUE_NOTEBOOKS")
    if not branch or site.folder != Path(os.environ["KEXUE_SITE"]).resolve():
        pytest.skip("KEXUE_NOTEBOOKS names no branch of notebooks for this site")
    ours = Published(site.folder, Path(branch), ROOT, addresses(ROOT))
    links = {
        unescape(link)
        for name in site.pages()
        for link in re.findall(r'href="(https://[^"]+)"', (site.folder / name).read_text(encoding="utf-8"))
    }
    assert not [link for link in links if ours.has(link) is False]
    opened = {link for link in links if link.endswith(".ipynb") and ours.has(link)}
    assert len(opened) == 2 * len(list(Path(branch).rglob("*.ipynb")))  # on Colab and on Binder
