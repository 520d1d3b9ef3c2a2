"""A chapter opens in Jupyter as a notebook straight from its text, and saving it changes nothing."""

import json
import os
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

from kexue.press.skeleton import make_chapter
from tests.book.chapters import ROOT


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Jupyter server on a clone's frame with one new chapter: the folder and the server's address."""
    for name in ("jupytext.toml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    for name in ("mine", "yours"):
        make_chapter(tmp_path, name, part="language", title=name.title(), title_zh="我的")
        path = tmp_path / "book" / "language" / f"{name}.md"
        path.write_text(path.read_text().replace('scale="smoke"', 'scale="quick"'))
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


def open_and_run(page: Page, name: str) -> Locator:
    """Open a chapter by a double click on its text, restart and run all; its panel, once every cell has run."""
    page.locator(f'.jp-DirListing-item[title^="Name: {name}.md"]').dblclick()
    panel = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden):has([aria-label="Code Cell Content"])')
    panel.first.wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    run_all(page)
    return panel.first


def run_all(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()


@pytest.mark.browser
def test_two_chapters_in_the_lab(server: tuple[Path, str], browser: Browser) -> None:
    folder, address = server
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "book"], ["commit", "-q", "-m", "as written"]):
        subprocess.run([*git, *command], check=True)

    def changed() -> list[str]:
        done = subprocess.run([*git, "diff", "-U0"], capture_output=True, text=True, check=True)
        lines = done.stdout.split("\n")
        return [line for line in lines if line[:1] in "+-" and line and line[:3] not in ("+++", "---")]

    call(address, "/api/contents/book")
    page = browser.new_page(viewport={"width": 1280, "height": 3000})
    page.goto(f"{address}/lab/tree/book/language?token=t")
    page.locator('.jp-DirListing-item[title^="Name: mine.md"]').wait_for(timeout=60_000)

    panel = open_and_run(page, "mine")
    verdicts = panel.locator(".jp-OutputArea-output table").last
    verdicts.get_by_text("reproduced").wait_for(timeout=120_000)
    assert panel.locator(".jp-OutputArea-output svg, .jp-OutputArea-output img").count() >= 1
    cell = panel.locator(".jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text('profile = "smoke"\nseed = 0\ndevice = "auto"')
    run_all(page)
    verdicts.get_by_text("untested").wait_for(timeout=120_000)
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + 30
    while not changed() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert changed() == ['-profile = "quick"', '+profile = "smoke"']

    subprocess.run([*git, "checkout", "-q", "book"], check=True)
    other = open_and_run(page, "yours")
    other.get_by_text("reproduced").last.wait_for(timeout=120_000)
    before = (folder / "book" / "language" / "yours.md").stat().st_mtime_ns
    page.keyboard.press("Control+s")
    while (folder / "book" / "language" / "yours.md").stat().st_mtime_ns == before:
        assert time.monotonic() < deadline + 180
        time.sleep(0.2)
    assert changed() == []
    page.close()
