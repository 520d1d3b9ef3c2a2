"""Every benchmark still runs, at a size that says nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.book.chapters import ROOT

FOLDER = ROOT / "benchmarks"
HELPERS = {"record.py", "generated.py"}  # what the scripts share
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name not in HELPERS)


def recorded() -> dict[str, bytes]:
    """What is on record of benchmarks."""
    return {path.name: path.read_bytes() for path in (FOLDER / "results").iterdir()}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_runs_and_leaves_no_file(script: Path, tmp_path: Path):
    before = recorded()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script, "--tiny"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
    assert recorded() == before


def test_a_size_that_says_nothing_is_not_recorded():
    command = [sys.executable, FOLDER / "noop_build.py", "--tiny", "--record"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr
