"""Formulas: the process that has set one ends."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from sphinx.errors import ConfigError

from kexue.press.sphinx_ext.math import macros_of

_SET = 'from kexue.press.sphinx_ext.math import typeset; print(typeset("x^2"))'


def test_a_process_that_has_set_a_formula_ends() -> None:
    """Ten times: left to the interpreter's exit, V8 hung in most processes on 3.13 and in some on 3.11 and 3.12."""
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-c", _SET], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "katex" in done.stdout


def test_macros_are_read_from_both_places_and_a_wrong_one_is_named() -> None:
    mathjax = {"tex": {"macros": {"half": "\\frac12", "pair": ["(#1, #2)", 2]}}}
    config = SimpleNamespace(mathjax3_config=mathjax, kexue_macros={"\\RR": "\\mathbb{R}"})
    assert dict(macros_of(config)) == {"\\half": "\\frac12", "\\pair": "(#1, #2)", "\\RR": "\\mathbb{R}"}
    assert macros_of(SimpleNamespace(mathjax3_config=None, kexue_macros={})) == ()
    with pytest.raises(ConfigError, match="TeX macro 'RR' must be a text"):
        macros_of(SimpleNamespace(mathjax3_config=None, kexue_macros={"RR": 5}))
