"""A kernel that does not come up, or hangs at its start, is replaced: nothing of the chapter has run yet."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from papermill.engines import NotebookExecutionManager

from kexue.press.execution import kernel as engine
from kexue.press.execution.monitor import Watch
from tests.press.processes import assert_gone
from tests.press.tiny_book import TinyBook


def plant(folder: Path, fate: str, times: int) -> dict[str, str]:
    """Environment in which the first so many kernels meet `fate`, code that runs before anything of theirs."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"""import os, sys
from pathlib import Path
if "ipykernel_launcher" in sys.orig_argv:
    begun = Path({str(folder)!r}, "begun")
    begun.open("a").write(f"{{os.getpid()}}\\n")
    if len(begun.read_text().split()) <= {times}:
        {fate}
"""
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def begun(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "begun").read_text().split()]


def test_a_kernel_that_ends_at_its_start_is_replaced(book: TinyBook, tmp_path: Path):
    book.write("one")
    done = book.kexue("run", env=plant(tmp_path / "plant", "sys.exit('no luck')", 2))
    assert done.returncode == 0, done.stderr
    assert len(begun(tmp_path / "plant")) == 3


def test_no_kernel_at_all_is_a_failure_that_says_why(book: TinyBook, tmp_path: Path):
    book.write("one")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = plant(tmp_path / "plant", "sys.exit('no luck')", 99)
    done = book.kexue("run", env={**env, "TMPDIR": str(temporary)})
    assert done.returncode == 1
    assert "one.md: no kernel could be started in 3 attempts" in done.stderr
    assert "no luck" in done.stderr
    assert len(begun(tmp_path / "plant")) == 3
    assert not list(temporary.glob("kexue-*"))
    assert book.state("one") == "failed"


def run_a_cell(environment: dict[str, str], partial: Path) -> tuple[list[int], nbformat.NotebookNode]:
    """Run `6 * 7` on the press's engine; the kernels it took, and the notebook."""
    bare = {"metadata": {"papermill": {}}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7", **bare)], **bare)
    pids: list[int] = []
    watch = Watch(pids.append)
    with watch.watching(60):
        engine.PressEngine.execute_managed_notebook(
            NotebookExecutionManager(notebook, progress_bar=False),
            "",
            watch=watch,
            cell_limit=30,
            env={**os.environ, **environment},
            partial=partial,
        )
    return pids, notebook


def test_a_kernel_that_hangs_at_its_start_is_ended_and_replaced(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(engine, "STARTS", (3, 60))
    env = plant(tmp_path / "plant", "import time; time.sleep(600)", 1)
    pids, notebook = run_a_cell(env, tmp_path / "partial.ipynb")
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == "42"
    assert pids == begun(tmp_path / "plant")
    assert len(pids) == 2
    assert_gone(pids)


@pytest.mark.parametrize("length", [10, 90])
def test_a_kernel_is_reached_by_its_own_folder_however_long_the_usual_one_is(
    monkeypatch, tmp_path: Path, length: int
):
    usual = tmp_path / ("t" * length)
    usual.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    _, notebook = run_a_cell({}, tmp_path / "partial.ipynb")
    assert notebook.cells[0].execution_count == 1
    assert not list(usual.iterdir())


def test_the_process_of_a_run_loads_what_it_needs_before_it_is_given_one():
    """It is started while the cluster starts: what it loads then, nobody waits for."""
    code = "import sys; from kexue.press.execution import process; process._load(); print('papermill' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
