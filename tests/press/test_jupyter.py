"""A chapter opens in Jupyter as a notebook straight from its text, and saving it changes nothing."""

import json
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

from kexue.press.skeleton import make_chapter
from tests.book.chapters import ROOT


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Jupyter server on a clone's frame with one new chapter: the folder and the server's address."""
    for name in ("jupytext.toml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    make_chapter(tmp_path, "mine", part="language", title="Mine", title_zh="我的")
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
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen([sys.executable, "-m", "jupyter", "server", *options], stdout=log, stderr=log)
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
