"""A training's file belongs to its code and settings, and appears whole or not at all."""

from pathlib import Path

import pytest
import torch

from kexue.checkpoint import Checkpoint, place, write
from kexue.density.nvae import training


def test_other_settings_have_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KEXUE_CHECKPOINTS", str(tmp_path))
    one = place("fit-seed0", training, {"steps": 10, "rate": 0.1})
    assert one.parent == tmp_path
    assert one == place("fit-seed0", training, {"rate": 0.1, "steps": 10})
    assert one != place("fit-seed0", training, {"steps": 11, "rate": 0.1})
    assert one != place("fit-seed1", training, {"steps": 10, "rate": 0.1})


def test_other_code_has_another_file(tmp_path, monkeypatch):
    import types

    module = types.ModuleType("one")
    module.__file__ = str(tmp_path / "one.py")
    Path(module.__file__).write_text("x = 1")
    before = place("fit", module, {})
    (tmp_path / "beside.py").write_text("y = 2")
    assert place("fit", module, {}) != before


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "state.pt"
    write({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        write({"step": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_checkpoint_wants_at_least_a_step_between_saves(tmp_path):
    with pytest.raises(ValueError, match="every must be ≥ 1, got 0"):
        Checkpoint(tmp_path / "state.pt", seconds=1, every=0)
