"""Every page in a real browser with the network cut: nothing foreign, nothing broken, nothing too wide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route

from .conftest import ServedSite

WIDTHS = (320, 390, 1280)
CONTRAST = """
() => {
  const channel = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const own = ".kx-chip, .kx-chip span, .kx-zh, .kx-id, .kx-old, .kx-origin, .kx-banner, "
    + ".kx-banner li, "
    + ".kx-statement, .kx-number, .kx-counts li, .kx-part, .kx-card a, .kx-none, .kx-library span, dt, dd";
  const low = [];
  for (const element of document.querySelectorAll(own)) {
    if (!element.checkVisibility()) continue;
    const both = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const [a, b] = both.sort((x, y) => x - y);
    const ratio = (b + 0.05) / (a + 0.05);
    if (ratio < 4.5) low.push(`${element.className}: ${ratio.toFixed(2)}`);
  }
  return low;
}
"""


@contextmanager
def opened(
    browser: Browser, site: ServedSite, name: str, **context: object
) -> Iterator[tuple[Page, list[str]]]:
    """A page with the network cut, and what went wrong while it was open."""
    wrong: list[str] = []

    def is_wrong(kind: str, what: str) -> None:
        wrong.append(f"{kind}: {what}")

    def only_the_site(route: Route) -> None:
        if route.request.url.startswith((site.address, "data:", "blob:")):
            route.continue_()
        else:
            is_wrong("foreign request", route.request.url)
            route.abort()

    tab = browser.new_context(viewport={"width": WIDTHS[-1], "height": 900}, **context)
    page = tab.new_page()
    page.route("**/*", only_the_site)
    page.on("console", lambda said: said.type == "error" and is_wrong("console", said.text))
    page.on("pageerror", lambda error: is_wrong("script", str(error)))
    page.on("requestfailed", lambda request: is_wrong("failed", request.url))
    page.on("response", lambda reply: reply.status >= 400 and is_wrong(str(reply.status), reply.url))
    page.goto(site.address + name, wait_until="load")
    if context.get("java_script_enabled", True):
        page.evaluate("() => window.MathJax?.startup?.promise")
    yield page, wrong
    tab.close()


@pytest.mark.browser
def test_every_page_is_whole_fits_and_is_readable(browser: Browser, site: ServedSite) -> None:
    problems = []
    for name in site.pages():
        with opened(browser, site, name) as (page, wrong):
            problems += [f"{name}: {text}" for text in (*wrong, *_faults(page))]
            for theme in ("light", "dark"):
                page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
                problems += [f"{name}, {theme}: {text}" for text in page.evaluate(CONTRAST)]
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                wide = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
                problems += [f"{name}: {wide} px too wide at {width} px"] if wide > 0 else []
    assert not problems, "\n".join(problems)


def _faults(page: Page) -> Iterator[str]:
    """Formulas left raw or broken, pictures without words."""
    maths = page.locator(".math").count()
    rendered = page.locator(".katex").count()
    if maths and rendered < maths:
        yield f"{maths} formulas, {rendered} rendered"
    if page.locator("mjx-merror, [data-mjx-error]").count():
        yield "a formula with an error"
    texts = page.locator("main p, main li, main td").all_inner_texts()
    if any(re.search(r"\$\$|\\\(|\\\[", text) for text in texts):
        yield "raw TeX in the text"
    nameless = "(all) => all.filter((image) => !image.alt.trim()).map((image) => image.src)"
    undrawn = "(all) => all.filter((i) => i.checkVisibility() && !i.naturalWidth).map((i) => i.src)"
    yield from (f"no alt text: {source}" for source in page.locator("img").evaluate_all(nameless))
    yield from (f"not drawn: {source}" for source in page.locator("img").evaluate_all(undrawn))


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
        page.get_by_label("Chapter").select_option("Means")
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
        assert page.locator(".kx-library span a").count() == 0, (
            "the book names no repository, so nothing links there"
        )


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
    found = [
        f"{name}: {url}"
        for name in site.pages()
        for url in loads.findall((site.folder / name).read_text(encoding="utf-8"))
    ]
    found += [
        f"{name}: thebe"
        for name in site.pages()
        if "unpkg" in (site.folder / name).read_text(encoding="utf-8")
    ]
    assert not found, "\n".join(found)
