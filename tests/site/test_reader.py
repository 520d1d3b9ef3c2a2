"""What a reader does with the site: reads in Chinese, searches, sorts, uses the keyboard, unpacks it on a disk."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from .conftest import ServedSite
from .visit import opened


@pytest.mark.browser
def test_one_switch_turns_titles_claims_and_verdicts_to_chinese_and_stays(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/language/means.html", locale="en-GB") as (page, wrong):
        claim = page.locator("#claim-human-first")
        assert "The human row stays first." in claim.inner_text()
        assert "人类始终排名第一。" not in claim.inner_text()
        assert not page.get_by_text("本文把幂平均的参数").is_visible()
        page.get_by_role("button", name="中文").click()
        assert "人类始终排名第一。" in claim.inner_text()
        assert "The human row stays first." not in claim.inner_text()
        assert "不成立" in claim.inner_text()
        assert page.locator("article h1").inner_text().startswith("幂平均")
        assert page.get_by_text("本文把幂平均的参数").is_visible()
        page.goto(served_tiny_site.address + "book/scoreboard.html")
        assert page.locator("article h1").inner_text().startswith("记分板")
        page.get_by_label("判定").select_option(label="不成立")
        assert page.locator(".kx-scoreboard tbody tr:visible").count() == 2
        page.locator("#kexue-language").click()
        assert page.locator("article h1").inner_text().startswith("Scoreboard")
        assert not wrong
    with opened(browser, served_tiny_site, "book/intro.html", locale="zh-CN") as (page, _):
        assert "一本可执行的书" in page.locator("article").first.inner_text()


@pytest.mark.browser
def test_what_the_site_itself_says_of_a_chapter_follows_the_switch(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/language/means.html", locale="zh-CN") as (page, wrong):
        box = page.locator(".kx-provenance").inner_text()
        for said in (
            "快速规模：3 次运行中的 3 次",
            "提交",
            "有未提交的修改",
            "共 40.5 秒",
            "完整规模的存档，由旧代码测得",
        ):
            assert said in box
        english = (
            r"\b(Commit|Measured|Device|Machine|Duration|memory|Versions|Frozen|Run|runs|profile|in all)\b"
        )
        assert not re.findall(english, box)
        assert page.locator(".kx-again").inner_text() == "重新运行："
        table = page.get_by_role("table", name="Verdicts of this chapter")
        assert table.locator("th").all_inner_texts() == ["论断", "快速规模", "完整规模"]
        assert "未测" in table.inner_text()
        assert "not measured" not in table.inner_text()
        assert page.locator(".caption-number").first.inner_text().strip() == "图 1"
        assert page.locator(".kx-library").inner_text().endswith("第 6 行")
        assert page.locator("article h2").last.inner_text().startswith("判定、局限与代价")
        page.goto(served_tiny_site.address + "book/language/older.html")
        banner = page.locator(".kx-banner").inner_text()
        assert banner.startswith("由旧代码测得。")
        assert "earlier version" not in banner
        page.goto(served_tiny_site.address + "search.html?q=幂平均")
        page.get_by_text("共找到 ").wait_for()
        assert page.locator("h1").inner_text() == "搜索"
        page.locator("#kexue-language").click()
        assert page.locator("h1").inner_text() == "Search"
        assert not wrong


@pytest.mark.browser
def test_without_scripts_both_languages_and_all_formulas_are_there(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/language/means.html", java_script_enabled=False) as (
        page,
        _,
    ):
        text = page.locator("#claim-human-first").inner_text()
        assert "The human row stays first." in text
        assert "人类始终排名第一。" in text
        assert page.locator(".katex:visible").count() >= 3
        assert page.locator("#kexue-language").is_hidden()


def results(page: Page, address: str, query: str) -> list[str]:
    """The pages a search finds, by title."""
    page.goto(f"{address}search.html?q={query}")
    page.locator("#search-results p.search-summary").filter(has_text="found").wait_for()
    return page.locator("#search-results ul.search li > a").all_inner_texts()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("power mean", "Means"),
        ("human row", "Means"),
        ("损失比", "Means"),
        ("人类排名第一", "Means"),
        ("排行榜的第一名", "Means"),
        ("旧的数字", "Older numbers"),
        ("单调 幂次", "Means"),
    ],
)
def test_the_search_finds_english_and_chinese_words(
    browser: Browser, served_tiny_site: ServedSite, query: str, found: str
) -> None:
    with opened(browser, served_tiny_site, "search.html") as (page, wrong):
        assert any(title.startswith(found) for title in results(page, served_tiny_site.address, query))
        assert not wrong


@pytest.mark.browser
def test_the_search_says_when_there_is_nothing(browser: Browser, served_tiny_site: ServedSite) -> None:
    with opened(browser, served_tiny_site, "search.html") as (page, _):
        page.goto(served_tiny_site.address + "search.html?q=量子引力")
        page.get_by_text("did not match any documents").wait_for()


@pytest.mark.browser
def test_the_scoreboard_filters_by_scale_sorts_and_can_be_linked(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/scoreboard.html?scale=full") as (page, _):
        rows = page.locator(".kx-scoreboard tbody tr:visible")
        assert rows.count() == 3
        page.get_by_label("Scale").select_option("")
        page.get_by_role("button", name="Verdict").click()
        assert "reproduced" in rows.first.inner_text()
        page.get_by_role("button", name="Verdict").click()
        assert "untested" in rows.first.inner_text()
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        page.get_by_label("Chapter").select_option(label="Means")
        page.get_by_role("link", name="human-first").click()
        page.wait_for_url("**#claim-human-first")
        assert page.locator("#claim-human-first").is_visible()


@pytest.mark.browser
def test_the_keyboard_alone_reaches_text_search_language_theme_and_folds(
    browser: Browser, served_tiny_site: ServedSite
) -> None:
    with opened(browser, served_tiny_site, "book/language/means.html", locale="en-GB") as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").strip() == "Skip to main content"
        reached = set()
        for _ in range(90):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("(document.activeElement.id || document.activeElement.className)"))
            if page.evaluate("document.activeElement.id") == "kexue-language":
                page.keyboard.press("Enter")
                assert page.evaluate("document.documentElement.dataset.language") == "zh"
            if page.evaluate("document.activeElement.matches('.kx-abstract summary')"):
                page.keyboard.press("Enter")
                assert not page.locator(".kx-abstract").evaluate("(fold) => fold.open")
                break
        else:
            pytest.fail("the fold of the abstract was not reached")
        assert "kexue-language" in reached
        assert any("theme-switch" in name for name in reached)
        page.keyboard.press("Control+k")
        page.keyboard.type("幂平均")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=*")


@pytest.mark.browser
def test_the_theme_s_switch_turns_the_page_dark(browser: Browser, served_tiny_site: ServedSite) -> None:
    with opened(browser, served_tiny_site, "book/intro.html", color_scheme="light") as (page, _):
        page.evaluate("localStorage.setItem('mode', 'light')")
        page.reload()
        button = page.locator(".theme-switch-button:visible").first
        for _ in range(3):
            if page.evaluate("document.documentElement.dataset.theme") == "dark":
                break
            button.click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 23)"


@pytest.mark.browser
def test_the_archive_opens_from_a_disk_and_finds_chinese(
    browser: Browser, tiny_site: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tiny_site / "kexue-executed.zip") as archive:
        archive.extractall(tmp_path)
    home = ServedSite(tmp_path / "kexue-executed", (tmp_path / "kexue-executed").as_uri() + "/")
    with opened(browser, home, "book/language/means.html") as (page, wrong):
        assert page.locator(".katex:visible").count() >= 3
        assert any(title.startswith("Means") for title in results(page, home.address, "幂平均"))
        assert not wrong


def test_a_page_offers_its_executed_notebook_and_its_text(tiny_site: Path) -> None:
    folder = tiny_site / "book" / "language"
    notebook = json.loads((folder / "means.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert any("The claim **reproduced** was measured as 0.25" in text for text in texts)
    assert not any("{verdict}" in text or "{article-box}" in text or "{library}" in text for text in texts)
    assert any("def power_mean" in text for text in texts)
    assert any("12.35 steps were taken" in " ".join(text.split()) for text in texts)
    assert any(cell.get("outputs") for cell in notebook["cells"])
    assert (folder / "means.md").read_text(encoding="utf-8").startswith("---\njupytext:")
    page = (folder / "means.html").read_text(encoding="utf-8")
    assert 'href="means.ipynb"' in page
    assert 'href="means.md"' in page
