"""`kexue new`: from a name to a chapter that runs, is judged, and has a fault test that passes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kexue.press.project import PressError
from kexue.press.sources.new import as_saved, make_chapter
from tests.book.chapters import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The book's frame without its chapters."""
    root = tmp_path / "clone"
    shutil.copytree(
        ROOT / "tests" / "book",
        root / "tests" / "book",
        ignore=shutil.ignore_patterns("test_*", "__pycache__"),
    )
    (root / "book").mkdir()
    for name in (
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/shapes.py",
        "pyproject.toml",
        "jupytext.toml",
        "_toc.yml",
    ):
        shutil.copy(ROOT / name, root / name)
    return root


def test_a_new_chapter_runs_is_judged_and_has_a_passing_fault_test(clone: Path):
    env = {**os.environ, "KEXUE_STORE": str(clone / ".kexue")}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=clone, env=env, capture_output=True, text=True
        )

    made = python(
        "kexue.cli",
        "new",
        "my-chapter",
        "--part",
        "optimisation",
        "--title",
        "Mine: a test",
        "--title-zh",
        "我的",
    )
    assert made.returncode == 0, made.stderr
    assert "      - file: book/optimisation/my-chapter" in (clone / "_toc.yml").read_text()
    path = clone / "book" / "optimisation" / "my-chapter.md"
    assert as_saved(clone, path.read_text()) == path.read_text()
    ran = python("kexue.cli", "run", "my-chapter", "--profile", "smoke")
    assert ran.returncode == 0, ran.stderr
    assert "1 reproduced" in ran.stdout
    tested = python("pytest", "-q", "-p", "no:cacheprovider", "tests/book/test_my_chapter_faults.py")
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize(
    ("slug", "part", "message"),
    [
        ("Not Kebab", "language", "kebab-case"),
        ("fine", "poetry", "part must be one of"),
    ],
)
def test_a_bad_name_or_part_is_refused(clone: Path, slug: str, part: str, message: str):
    with pytest.raises(PressError, match=message):
        make_chapter(clone, slug, part=part)


def test_nothing_is_overwritten(clone: Path):
    make_chapter(clone, "one", part="language")
    with pytest.raises(PressError, match="there is a chapter 'one' already"):
        make_chapter(clone, "one", part="language")
    (clone / "book" / "language" / "one.md").unlink()
    with pytest.raises(PressError, match="is there already"):
        make_chapter(clone, "one", part="language")
