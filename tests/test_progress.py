"""A bar where somebody looks, and not a character anywhere else."""

import io
import sys

import pytest
import torch

from kexue import progress
from kexue.density import mixtures


class Screen(io.StringIO):
    def isatty(self):
        return True


def trained(stream, monkeypatch):
    """What a short training writes to a stream that stands for the error output."""
    monkeypatch.setattr(progress, "AFTER", 0.0)
    monkeypatch.setattr(sys, "stderr", stream)
    model = mixtures.CurveMixture(2, 3, 0.5, generator=torch.Generator().manual_seed(0))
    mixtures.fit_mixture(model, torch.zeros(4, 2, dtype=torch.float64), steps=3)
    return stream.getvalue()


def test_a_training_says_how_far_it_is(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert "mixture" in trained(Screen(), monkeypatch)


def test_there_is_no_bar_in_a_pipe(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert trained(io.StringIO(), monkeypatch) == ""


def test_there_is_no_bar_where_it_is_disabled(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert trained(Screen(), monkeypatch) == ""


@pytest.mark.parametrize("steps", [range(5), range(3, 5), range(5, 5), range(5, 3)])
def test_the_steps_are_the_steps(steps, monkeypatch):
    for stream in (Screen(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(progress.progress(steps, "steps")) == list(steps)
