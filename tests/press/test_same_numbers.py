"""Raw papermill, JupyterLab and `kexue run` give the same measurements."""

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from kexue.claims.display import MEASUREMENT_MIME
from tests.book.chapters import ROOT
from tests.press.tiny_book import TinyBook


def measured(notebook) -> dict[str, list[float]]:
    """The measurements an executed notebook shows."""
    return {
        output.data[MEASUREMENT_MIME]["measurement"]["id"]: output.data[MEASUREMENT_MIME]["measurement"][
            "values"
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if MEASUREMENT_MIME in output.get("data", {})
    }


@pytest.fixture(scope="module")
def pressed(tmp_path_factory) -> dict[str, list[float]]:
    """What `kexue run` measures for the leaderboard chapter at smoke scale."""
    import os

    store = tmp_path_factory.mktemp("store")
    command = [sys.executable, "-m", "kexue.cli"]
    env = {**os.environ, "KEXUE_STORE": str(store)}
    run = [*command, "run", "leaderboard", "--profile", "smoke"]
    done = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = store.glob("runs/*/*/notebook.ipynb")
    return measured(nbformat.read(path, as_version=4))


def test_raw_papermill(pressed, tmp_path: Path):
    notebook = tmp_path / "leaderboard.ipynb"
    jupytext.write(jupytext.read(ROOT / "book" / "language" / "leaderboard.md"), notebook)
    executed = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "-p", "profile", "smoke"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert pressed
    assert measured(nbformat.read(executed, as_version=4)) == pressed


def test_run_all_in_jupyter(pressed, tmp_path: Path):
    """JupyterLab's "run all" sends the cells in order to a kernel, as nbconvert does; smoke is typed in by hand."""
    text = (ROOT / "book" / "language" / "leaderboard.md").read_text()
    assert text.count('profile = "quick"') == 1
    notebook = tmp_path / "leaderboard.ipynb"
    jupytext.write(
        jupytext.reads(text.replace('profile = "quick"', 'profile = "smoke"'), fmt="md:myst"), notebook
    )
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "nbconvert",
        "--execute",
        "--inplace",
        "--to",
        "notebook",
        str(notebook),
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert measured(nbformat.read(notebook, as_version=4)) == pressed


def test_a_claim_measured_in_a_tiny_book_says_where_it_came_from(book: TinyBook):
    book.write("one")
    assert book.kexue("run").returncode == 0
    (row, _) = book.json("claims")
    (folder,) = (book.store / "runs").iterdir()
    assert row["run"] == [folder.name]
