"""Every page looked at once, at four widths and in both themes; each test asserts one thing of all pages."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Response

from .conftest import ServedSite
from .visit import opened

WIDTHS = (320, 390, 768, 1280)
PICTURES = (".svg", ".png", ".jpg")
# Bytes of a page without its figures: as transferred, with the compression that any host of static pages applies to text,
# and as the browser must read them. Of the latter 0.55 MB are the theme's style sheet and icon font, the same for all pages:
# they are shipped as they come (before, rules were cut out of the sheet by regular expressions).
TRANSFERRED, READ = 1_000_000, 1_850_000
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
# Contrast takes half a minute on a page of a thousand cells: of what repeats itself the first dozen is examined.
THIN = """() => {
  const repeated = [".highlight", ".math", ".kx-measurement", "table.dataframe"];
  for (const all of repeated) [...document.querySelectorAll(all)].slice(12).forEach((one) => one.remove());
  for (const body of document.querySelectorAll("tbody")) [...body.rows].slice(12).forEach((row) => row.remove());
}"""
SHEETS = Path(__file__).resolve().parents[2] / "_build" / "contact-sheet"


@dataclass
class Look:
    """What was seen of one page."""

    wrong: list[str] = field(default_factory=list)
    barriers: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    late: str = ""
    read: int = 0
    transferred: int = 0
    shots: dict[int, list[Image.Image]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def survey(browser: Browser, site: ServedSite) -> dict[str, Look]:
    """Every page of the site; of the many library pages, all of one template, the first three are also examined."""
    library = [name for name in site.pages() if name.startswith("book/library/")]
    return {name: _look(browser, site, name, examine=name not in library[3:]) for name in site.pages()}


def _look(browser: Browser, site: ServedSite, name: str, *, examine: bool) -> Look:
    look, sizes = Look(), dict[str, tuple[int, int]]()
    with opened(browser, site, name) as (page, wrong):
        if examine:
            page.on("response", lambda reply: sizes.update({reply.url: _sizes(reply)}))
            page.reload(wait_until="networkidle")
        page.add_style_tag(content=STILL)
        # A picture still on its way when the page is loaded again counts as failed; the second time it was answered.
        cut_off = {f"failed: {url}" for url, (size, _) in sizes.items() if size}
        look.wrong += [*(fault for fault in wrong if fault not in cut_off), *_faults(page)]
        weighed = [size for url, size in sizes.items() if not url.split("?")[0].endswith(PICTURES)]
        look.read, look.transferred = (sum(size[at] for size in weighed) for at in (0, 1))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            wide = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            look.wide += [f"{wide} px too wide at {width} px"] if wide > 0 else []
            if examine and width in (390, 1280):
                look.shots[width] = [_shot(page, theme) for theme in ("light", "dark")]
            if width == 390:
                look.late = _late(page)
        if examine:
            page.evaluate(THIN)
        for theme in ("light", "dark") if examine else ():
            _turn(page, theme)
            found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            look.barriers += [
                f"{theme}: {one['id']} at {one['nodes'][0]['target']}: {one['nodes'][0]['html'][:120]}"
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
    return look


def _sizes(reply: Response) -> tuple[int, int]:
    """The bytes of an answer, and those of it compressed."""
    body = reply.body()
    return len(body), min(len(body), len(gzip.compress(body, 6)))


def _turn(page: Page, theme: str) -> None:
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)


def _shot(page: Page, theme: str) -> Image.Image:
    _turn(page, theme)
    shot = Image.open(io.BytesIO(page.screenshot()))
    return shot.resize((shot.width * 3 // 8, shot.height * 3 // 8)).convert("RGB")


def _late(page: Page) -> str:
    """What keeps a chapter's key figure from the first screen of a phone; "" if nothing."""
    if page.locator(".kx-banner").count():
        return ""  # what is stale says so first
    figure = page.locator(".kx-key-figure img, .tag_kx-key-figure img").first
    if figure.count() and (box := figure.bounding_box()) is not None:
        seen = min(844.0, box["y"] + box["height"]) - box["y"]
        return f"{seen:.0f} of {box['height']:.0f} px" if seen < 0.7 * box["height"] else ""
    return "no key figure" if page.locator(".kx-article").count() else ""


def _faults(page: Page) -> Iterator[str]:
    """Formulas left raw or broken, pictures without words."""
    if undone := page.locator(".math:not(:has(.katex))").count():
        yield f"{undone} formulas not rendered"
    if page.locator(".katex-error").count():
        yield "a formula with an error"
    texts = page.locator("main p, main li, main td").all_inner_texts()
    if any(re.search(r"\$\$|\\\(|\\\[", text) for text in texts):
        yield "raw TeX in the text"
    nameless = "(all) => all.filter((image) => !image.alt.trim()).map((image) => image.src)"
    lazy = """(all) => Promise.all(all.map((image) => {
      image.loading = 'eager';
      return image.complete || new Promise((done) => { image.onload = image.onerror = done; });
    }))"""
    undrawn = "(all) => all.filter((i) => i.checkVisibility() && !i.naturalWidth).map((i) => i.src)"
    yield from (f"no alt text: {source}" for source in page.locator("img").evaluate_all(nameless))
    page.locator("img").evaluate_all(lazy)
    yield from (f"not drawn: {source}" for source in page.locator("img").evaluate_all(undrawn))


def listed(found: dict[str, list[str]]) -> str:
    """What was found, a line each; "" for nothing."""
    return "\n".join(f"{name}: {text}" for name, texts in found.items() for text in texts)


@pytest.mark.browser
def test_nothing_is_foreign_broken_or_missing(survey: dict[str, Look]) -> None:
    assert not listed({name: look.wrong for name, look in survey.items()})


@pytest.mark.browser
def test_no_page_scrolls_sideways(survey: dict[str, Look]) -> None:
    assert not listed({name: look.wide for name, look in survey.items()})


@pytest.mark.browser
def test_no_page_has_a_serious_barrier_in_either_theme(survey: dict[str, Look]) -> None:
    assert not listed({name: look.barriers for name, look in survey.items()})


@pytest.mark.browser
def test_every_page_is_light(survey: dict[str, Look], site: ServedSite) -> None:
    assert not {name: look.transferred for name, look in survey.items() if look.transferred > TRANSFERRED}
    assert not {name: look.read for name, look in survey.items() if look.read > READ}
    print("heaviest:", max((look.transferred, look.read, name) for name, look in survey.items()))
    for name in survey:
        head = (site.folder / name).read_text(encoding="utf-8").split("</head>")[0].lower()
        assert "mathjax" not in head
        assert "searchindex" not in head or name == "search.html"


@pytest.mark.browser
def test_the_key_figure_is_on_a_phone_s_first_screen(survey: dict[str, Look]) -> None:
    assert not {name: look.late for name, look in survey.items() if look.late}


@pytest.mark.browser
def test_a_contact_sheet_of_the_pages_is_there_to_look_at(survey: dict[str, Look], site: ServedSite) -> None:
    SHEETS.mkdir(parents=True, exist_ok=True)
    kind = "book" if len(site.pages()) > 20 else "tiny"
    for width in (390, 1280):
        shots = [shot for look in survey.values() for shot in look.shots.get(width, ())]
        across, (w, h) = 8, shots[0].size
        sheet = Image.new("RGB", (across * (w + 8), -(-len(shots) // across) * (h + 8)), "grey")
        for index, shot in enumerate(shots):
            sheet.paste(shot, ((index % across) * (w + 8), (index // across) * (h + 8)))
        sheet.save(SHEETS / f"{kind}-{width}.png")
        assert (SHEETS / f"{kind}-{width}.png").stat().st_size > 10_000
