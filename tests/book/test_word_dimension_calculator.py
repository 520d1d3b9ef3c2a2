"""The calculator in the word-dimension page gives what the library gives, for a mouse, a keyboard and no script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from IPython.display import HTML
from playwright.sync_api import Browser, Page

from kexue.embedding import dimension
from tests.book.chapters import chapter

pytestmark = pytest.mark.browser

CASES = [
    (size, beta, softmax, entropy)
    for size in (2, 10, 512, 100_000, 5_000_000, 10**12)
    for beta in (0.05, 0.25, 1, 2, 10)
    for softmax in ("joint", "row")
    for entropy in (0, 0.5, 12)
]


def calculator() -> str:
    """The HTML that the chapter's cell displays."""
    (cell,) = [cell for cell in chapter("word-dimension").code_cells if "kexue-calculator" in cell.source]
    shown: list[str] = []
    exec(cell.source, {"dimension": dimension, "HTML": shown.append})
    return str(HTML(shown[0]).data)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_content(calculator())
    yield opened
    opened.close()


def answer(page: Page, size: float, beta: float, softmax: str, entropy: float) -> str:
    page.fill("#kexue-size", str(size))
    page.fill("#kexue-beta", str(beta))
    page.fill("#kexue-entropy", str(entropy))
    page.check(f"input[name=softmax][value='{2 if softmax == 'joint' else 1}']")
    return page.inner_text("#kexue-answer")


def test_agrees_with_the_library(page: Page) -> None:
    for size, beta, softmax, entropy in CASES:
        said = answer(page, size, beta, softmax, entropy)
        try:
            expected = dimension.smallest_dimension(size, beta, softmax, entropy)
        except ValueError:
            assert "entropy must lie between" in said
            continue
        assert re.match(r"n = (\d+)", said).group(1) == str(expected), (size, beta, softmax, entropy)


def test_says_what_is_wrong(page: Page) -> None:
    assert answer(page, 1, 1, "joint", 0) == "N must lie between 2 and 10¹²."
    assert answer(page, 10, -1, "joint", 0) == "β must lie between 0.05 and 10."


def test_starts_with_an_answer_and_works_from_the_keyboard(page: Page) -> None:
    assert page.inner_text("#kexue-answer").startswith("n = 96 ")
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#kexue-answer").startswith("n = 48 ")


def test_without_a_script_there_is_a_table(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(calculator())
    assert page.inner_text("noscript tr:nth-child(4)").split() == ["100,000", "96", "48"]
    context.close()
