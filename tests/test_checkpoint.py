"""A training's file belongs to its code and settings, and appears whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kexue import checkpoint
from kexue.checkpoint import Checkpoint, place, write
from kexue.data import reader


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KEXUE_CHECKPOINTS", str(tmp_path))
    monkeypatch.delenv("KEXUE_RUN", raising=False)
    return tmp_path


def test_other_settings_have_another_file(folder):
    one = place("fit-seed0", {"steps": 10, "rate": 0.1})
    assert one.parent == folder
    assert one == place("fit-seed0", {"rate": 0.1, "steps": 10})
    assert one != place("fit-seed0", {"steps": 11, "rate": 0.1})
    assert one != place("fit-seed1", {"steps": 10, "rate": 0.1})


def test_another_run_has_another_file(monkeypatch):
    """The press says of which code the run is, and nothing else of this process counts then."""
    by_hand = place("fit", {})
    monkeypatch.setenv("KEXUE_RUN", "one")
    one = place("fit", {})
    monkeypatch.setitem(sys.modules, "kexue.late", sys.modules["kexue.checkpoint"])
    assert one == place("fit", {})
    monkeypatch.setenv("KEXUE_RUN", "two")
    assert len({by_hand, one, place("fit", {})}) == 3


def test_other_data_have_another_file(monkeypatch):
    before = place("fit", {})
    monkeypatch.setitem(reader._read, "another set", "its digest")
    assert place("fit", {}) != before


LIBRARY = {
    "__init__.py": '"""The library."""\n',
    "rules.py": '"""Rules."""\n\nRATE = 0.1  # of a step\n\n\ndef rule(x):\n    """The rule."""\n    return RATE * x\n',
    "press/__init__.py": "",
    "press/run.py": "SPEED = 1\n",
}
CELLS = ["from kexue import rules\nimport kexue.press.run\n", "def fit(x):\n    return rules.rule(x)\n"]
ASK = "from kexue import checkpoint\nprint(checkpoint.place('fit', {}).name)\n"
CHANGES = {
    "nothing": (None, None, True),
    "a comment in a cell": (CELLS[1], "def fit(x):  # trains\n\n    return rules.rule(x)\n", True),
    "a comment in a module": ("RATE = 0.1  # of a step", "# of each step\nRATE = 0.1", True),
    "a docstring of a function": ("The rule.", "The one rule.", True),
    "a docstring of a module": ("Rules.", "All rules.", True),
    "the press": ("SPEED = 1", "SPEED = 2", True),
    "a rule in a cell": ("rules.rule(x)\n", "rules.rule(x) + 1\n", False),
    "a rule in a module elsewhere": ("RATE = 0.1", "RATE = 0.2", False),
    "another text in a module that is no docstring": ("return RATE", 'return "" or RATE', False),
}


def library(folder, change):
    """A small library around the module under test, and an empty torch: to find the place of a file takes none."""
    texts = {name: changed(text, change) for name, text in LIBRARY.items()}
    texts["checkpoint.py"] = Path(checkpoint.__file__).read_text(encoding="utf-8")
    for name, text in {**{f"kexue/{name}": text for name, text in texts.items()}, "torch.py": ""}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def changed(text, change):
    before, after, _ = change
    return text if before is None else text.replace(before, after)


def asked(folder, script):
    """The places that a script prints, in a Python that finds the small library."""
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": ".", "IPYTHONDIR": str(folder / "ipython")}
    done = subprocess.run(
        [sys.executable, path.name], cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.split() if line.startswith("fit-")]


def as_a_script(cells):
    return "".join([*cells, ASK])


def as_a_session(cells):
    """The cells one after the other in an IPython of their own, the last one twice, as after a pause."""
    return (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for cell in {[*cells, ASK, ASK]!r}:\n"
        "    shell.run_cell(cell, store_history=True).raise_error()\n"
    )


@pytest.mark.parametrize(("written", "answers"), [(as_a_script, 1), (as_a_session, 2)])
def test_other_code_has_another_file_and_another_comment_has_not(tmp_path, written, answers):
    places = {}
    for name, change in CHANGES.items():
        folder = tmp_path / name.replace(" ", "-")
        library(folder, change)
        found = asked(folder, written([changed(cell, change) for cell in CELLS]))
        assert len(found) == answers, name
        assert len(set(found)) == 1, "a cell that is run again trains anew"
        places[name] = found[0]
    for name, (_, _, kept) in CHANGES.items():
        assert (places[name] == places["nothing"]) is kept, name


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "state.pt"
    write({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        write({"step": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_checkpoint_wants_at_least_a_step_between_saves(tmp_path):
    with pytest.raises(ValueError, match="every must be ≥ 1, got 0"):
        Checkpoint(tmp_path / "state.pt", seconds=1, every=0)
