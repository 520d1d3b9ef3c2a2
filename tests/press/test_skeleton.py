"""`kexue new`: from a name to a chapter that runs, is judged, and has a fault test that passes."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kexue.press.project import PressError
from kexue.press.sources.catalogue import catalogue
from kexue.press.sources.new import as_saved, make_chapter
from tests.book.chapters import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The book's frame without its chapters, with a library of its own."""
    root = tmp_path / "clone"
    for name in ("src", "tests/book", "ci"):
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("test_*", "__pycache__", "*.egg-info")
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


def test_a_new_chapter_runs_is_judged_keeps_the_rules_and_has_passing_tests(clone: Path):
    env = {**os.environ, "KEXUE_STORE": str(clone / ".kexue"), "PYTHONPATH": str(clone / "src")}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=clone, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    titles = ("--title", "Mine: a test", "--title-zh", "我的")
    made = python("kexue.cli", "new", "my-chapter", "--part", "optimisation", *titles).split()
    assert "      - file: book/optimisation/my-chapter" in (clone / "_toc.yml").read_text()
    path = clone / "book" / "optimisation" / "my-chapter.md"
    assert as_saved(clone, path.read_text()) == path.read_text()
    code = [name for name in made if name.endswith(".py")]
    assert len(code) == 5
    python("ruff", "format", "--check", *code)
    python("ruff", "check", *code)
    checked = subprocess.run([sys.executable, "ci/contracts.py"], cwd=clone, env=env, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode()
    assert "1 reproduced" in python("kexue.cli", "run", "my-chapter", "--profile", "smoke")
    python("pytest", "-q", "-p", "no:cacheprovider", "tests/book", "tests/my_chapter")


def test_a_new_subject_is_held_to_the_rules_from_its_first_day(clone: Path):
    make_chapter(clone, "my-chapter", part="optimisation", subject="optim")
    module = clone / "src" / "kexue" / "optim" / "experiments.py"
    module.write_text(module.read_text() + "\n\nimport kexue.claims\n")
    env = {**os.environ, "PYTHONPATH": str(clone / "src")}
    checked = subprocess.run([sys.executable, "ci/contracts.py"], cwd=clone, env=env, capture_output=True)
    assert checked.returncode == 1
    assert "kexue.optim.experiments -> kexue.claims" in checked.stdout.decode()


@pytest.mark.parametrize(
    ("slug", "part", "message"),
    [
        ("Not Kebab", "language", "kebab-case"),
        ("a" * 61, "language", "at most 60 characters"),
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


def test_two_at_once_lose_no_line_of_the_contents(clone: Path):
    names = [f"chapter-{number}" for number in range(6)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda name: make_chapter(clone, name, part="language"), names))
    assert set(names) <= {chapter.slug for chapter in catalogue(clone)}
