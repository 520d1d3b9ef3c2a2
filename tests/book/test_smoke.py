"""Every chapter runs at the smoke profile, as a real `kexue run`, and leaves no claim of that scale unmeasured."""

import json
import os
import subprocess
import sys

import pytest

from kexue.press.sources.catalogue import catalogue
from kexue.press.sources.chapter import Chapter
from tests.book.chapters import ROOT


@pytest.mark.parametrize("chapter", catalogue(ROOT), ids=lambda chapter: chapter.slug)
def test_chapter(chapter: Chapter, tmp_path):
    env = {**os.environ, "KEXUE_STORE": str(tmp_path)}

    def kexue(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kexue.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    done = kexue("run", chapter.slug, "--profile", "smoke", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    ledger = json.loads(
        kexue("claims", chapter.slug, "--profile", "smoke", "--device", "cpu", "--json").stdout
    )
    assert [row["id"] for row in ledger] == [claim.id for claim in chapter.claims]
    unmeasured = [row["id"] for row in ledger if row["scale"] == "smoke" and row["n"] == 0]
    assert not unmeasured
