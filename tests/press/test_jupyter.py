"""A chapter opens in Jupyter as a notebook straight from its text, and saving it changes nothing."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from kexue.press.sources.new import make_chapter
from tests.book.chapters import ROOT
from tests.press.tiny_book import draw_in_the_cell

DRAW = 'draws = np.random.default_rng(seed).normal(size=settings["draws"])'
LOOP = """generator = np.random.default_rng(seed)
draws = []
for _ in tqdm(range(40), desc="draws"):
    time.sleep(0.1)
    draws.extend(generator.normal(size=settings["draws"] // 40))
draws = np.array(draws)"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Jupyter server on a clone's frame with one new chapter: the folder and the server's address."""
    for name in ("jupytext.toml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    path, *_ = make_chapter(tmp_path, "mine", part="language", title="Mine", title_zh="我的")
    draw_in_the_cell(path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--ServerApp.token=t",
        f"--port={port}",
        "--allow-root",
        f"--ServerApp.root_dir={tmp_path}",
    ]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_PATH": str(ROOT / "ci" / "jupyter"),  # as `make lab` has it
        "JUPYTER_DATA_DIR": str(tmp_path / ".jupyter-data"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / ".lab-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / ".lab-workspaces"),
    }
    environment.pop("MPLBACKEND", None)  # the tests' own: a figure in the Lab would not show
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options], stdout=log, stderr=log, env=environment
    )
    try:
        yield tmp_path, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def call(address: str, path: str, data: dict | None = None) -> dict:
    """Call the server, once it answers."""
    deadline = time.monotonic() + 60
    while True:
        request = urllib.request.Request(
            address + path,
            data=None if data is None else json.dumps(data).encode(),
            method="GET" if data is None else "PUT",
            headers={"Authorization": "token t", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_open_and_save(server: tuple[Path, str]):
    folder, address = server
    path = folder / "book" / "language" / "mine.md"
    before = path.read_text()
    opened = call(address, "/api/contents/book/language/mine.md?type=notebook")
    assert opened["type"] == "notebook"
    tags = [
        cell["metadata"].get("tags", []) for cell in opened["content"]["cells"] if cell["cell_type"] == "code"
    ]
    assert ["parameters"] in tags
    assert ["claims"] in tags
    saved = {"type": "notebook", "format": "json", "content": opened["content"]}
    call(address, "/api/contents/book/language/mine.md", saved)
    assert path.read_text() == before


def test_lab_opens_chapters_as_notebooks_by_a_double_click():
    overrides = json.loads((ROOT / "ci/jupyter/labconfig/default_setting_overrides.json").read_text())
    viewers = overrides["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers["markdown"] == "Jupytext Notebook"
    assert 'JUPYTER_CONFIG_PATH="$(CURDIR)/ci/jupyter"' in (ROOT / "Makefile").read_text()


def open_chapter(page: Page, name: str) -> Locator:
    """Open a chapter by a double click on its text; its panel, once its kernel waits."""
    page.locator(f'.jp-DirListing-item[title^="Name: {name}.md"]').dblclick()
    panel = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden):has([aria-label="Code Cell Content"])').first
    panel.wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    return panel


def run_all(page: Page) -> None:
    """Restart the kernel and run every cell."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()


def to_the_end(panel: Locator) -> Locator:
    """The last table of the notebook, the verdicts: Lab draws only what is near the window, so go there."""
    outer = panel.locator(".jp-WindowedPanel-outer")
    for _ in range(20):
        outer.evaluate("(one) => one.scrollTo(0, one.scrollHeight)")
        panel.page.wait_for_timeout(100)
    return panel.locator(".jp-OutputArea-output table").last


def edit(panel: Locator, old: str, new: str) -> None:
    """Replace a text in the one cell on screen that has it."""
    panel.locator(".jp-WindowedPanel-outer").evaluate("(one) => one.scrollTo(0, 0)")
    cell = panel.locator(".jp-CodeCell .cm-content").filter(has_text=old).first
    cell.scroll_into_view_if_needed()
    source = cell.evaluate(
        "(one) => one.cmTile?.view?.state.doc.toString() ?? one.cmView.view.state.doc.toString()"
    )
    assert source.count(old) == 1
    cell.click()
    panel.page.keyboard.press("Control+a")
    panel.page.keyboard.insert_text(source.replace(old, new))


class Repository:
    """The chapters under git, to see what a save has changed."""

    def __init__(self, folder: Path) -> None:
        self._git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t"]
        for command in (["init", "-q"], ["add", "book"], ["commit", "-q", "-m", "as written"]):
            subprocess.run([*self._git, *command], check=True)

    def changed(self) -> list[str]:
        """The lines that differ."""
        done = subprocess.run([*self._git, "diff", "-U0"], capture_output=True, text=True, check=True)
        lines = done.stdout.split("\n")
        return [line for line in lines if line[:1] in "+-" and line and line[:3] not in ("+++", "---")]


def save(page: Page, path: Path) -> None:
    """Save, and wait for the file to be written."""
    before, deadline = path.stat().st_mtime_ns, time.monotonic() + 30
    page.keyboard.press("Control+s")
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline, "nothing was saved"
        page.wait_for_timeout(200)


@pytest.mark.browser
def test_two_chapters_in_the_lab(server: tuple[Path, str], browser: Browser) -> None:
    """A chapter of the book, and a new one with a long loop: run all, edit, run all, save."""
    folder, address = server
    chapters = folder / "book" / "language"
    shutil.copy(ROOT / "book" / "language" / "leaderboard.md", chapters)
    mine = chapters / "mine.md"
    text = mine.read_text()
    assert DRAW in text
    text = text.replace(DRAW, LOOP).replace(
        "import matplotlib.pyplot", "import time\n\nimport matplotlib.pyplot"
    )
    mine.write_text(text.replace("import numpy as np\n", "import numpy as np\nfrom tqdm import tqdm\n"))
    repository = Repository(folder)
    call(address, "/api/contents/book")
    page = browser.new_page(viewport={"width": 1280, "height": 2000})
    page.goto(f"{address}/lab/tree/book/language?token=t")
    page.locator('.jp-DirListing-item[title^="Name: leaderboard.md"]').wait_for(timeout=60_000)

    panel = open_chapter(page, "leaderboard")
    run_all(page)
    indicator = panel.locator(".jp-Notebook-ExecutionIndicator")
    indicator.and_(page.locator('[data-status="busy"]')).wait_for(timeout=60_000)
    executed = indicator.locator(".jp-Notebook-ExecutionIndicator-tooltip")
    page.wait_for_function(
        "(one) => /Executed [1-9]\\d*.\\d+ cells/.test(one.textContent)", arg=executed.element_handle()
    )
    page.get_by_text("| Idle").wait_for(timeout=120_000)
    verdict = to_the_end(panel).locator("tr").filter(has_text="survives the finite test sets")
    assert "reproduced" in verdict.inner_text()
    assert panel.locator(".jp-OutputArea-output svg, .jp-OutputArea-output img").count() >= 1
    edit(panel, '"quick": {"draws": 4_000', '"quick": {"draws": 20')
    run_all(page)
    indicator.and_(page.locator('[data-status="busy"]')).wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=120_000)
    to_the_end(panel)
    verdict.get_by_text("inconclusive").wait_for(timeout=60_000)
    assert repository.changed() == []
    save(page, chapters / "leaderboard.md")
    was = '    "quick": {"draws": 4_000, "powers": 161, "rows": 7},'
    edited = [f"-{was}", f"+{was.replace('4_000', '20')}"]
    assert repository.changed() == edited

    other = open_chapter(page, "mine")
    run_all(page)
    bar = other.locator(".jp-OutputArea-output").filter(has_text="draws:")
    bar.filter(has_text=re.compile(r"draws: +[1-9]\d?%\|\S+")).wait_for(timeout=60_000)  # it moves
    bar.filter(has_text="40/40").wait_for(timeout=60_000)
    other.locator(".jp-OutputArea-output table").last.get_by_text("reproduced").wait_for(timeout=60_000)
    save(page, mine)
    assert repository.changed() == edited
    page.close()
