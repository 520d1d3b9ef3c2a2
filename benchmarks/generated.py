"""Books that are as large as one likes: chapters as `kexue new` makes them, with a store of runs that look like real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from kexue.press.sources.catalogue import PARTS, catalogue
from kexue.press.sources.new import make_chapter
from kexue.press.store.plan import Unit, plan
from kexue.press.store.store import NOTEBOOK, Run, Store

ROOT = Path(__file__).parents[1]
PART = "language"
FIRST = "generated-0"
SEEDS = 3  # what such a chapter takes at the quick profile


@dataclass(frozen=True)
class Book:
    """A generated book.

    Args:
        root: its folder.
        store: where its runs are kept.
    """

    root: Path
    store: Path

    def kexue(self, *arguments: str) -> str:
        """Run `kexue` on it, on one thread.

        Raises:
            SystemExit: with its last words, when it fails.
        """
        own = {"KEXUE_STORE": str(self.store), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "kexue.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env={**os.environ, **own}, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"kexue {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout


def write_book(root: Path, chapters: int) -> Book:
    """A book of so many chapters with this book's own pages; all differ in their name alone, which a cell of each holds."""
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    shutil.copyfile(ROOT / "_config.yml", root / "_config.yml")
    shutil.copyfile(ROOT / "jupytext.toml", root / "jupytext.toml")
    for page in ("intro", "how-to-read", "scoreboard", "speed", "provenance"):
        shutil.copyfile(ROOT / "book" / f"{page}.md", root / "book" / f"{page}.md")
    _write_toc(root, [])
    chapter, chinese, *_ = make_chapter(root, FIRST, part=PART)
    chapter.write_text(_alone(chapter.read_text(encoding="utf-8")), encoding="utf-8")
    names = [FIRST, *(f"generated-{number}" for number in range(1, chapters))]
    for name in names[1:]:
        for path in (chapter, chinese):
            text = path.read_text(encoding="utf-8").replace(FIRST, name).replace(_title(FIRST), _title(name))
            path.with_name(path.name.replace(FIRST, name)).write_text(text, encoding="utf-8")
    _write_toc(root, names)
    return Book(root, root / ".kexue")


def _alone(text: str) -> str:
    """The skeleton with its draws made in its cell, for no library of the book's own is there, and with a name of its own:
    chapters with equal cells would share their runs.
    """
    module = f"kexue.{_module(FIRST)}.experiments"
    for old, new in (
        (f"```{{library}} {module}.draw\n```\n\n", ""),
        (f"from {module} import draw\n", ""),
        ("import matplotlib.pyplot as plt\n", "import matplotlib.pyplot as plt\nimport numpy as np\n"),
        ('draw(settings["draws"], seed=seed)', 'np.random.default_rng(seed).normal(size=settings["draws"])'),
        ("figures.use_house_style()\n", f'figures.use_house_style()\nname = "{FIRST}"\n'),
    ):
        if old not in text:
            raise SystemExit(
                f"the skeleton of a chapter has no {old!r} any more; mend benchmarks/generated.py"
            )
        text = text.replace(old, new)
    return text


def fill_store(book: Book, runs: int) -> None:
    """Run the first chapter once, and store so many runs in its image.

    All runs that the book asks for at the quick profile are there; the others are of older code, the same for all.
    """
    book.kexue("run", FIRST, "--seeds", "1", "--device", "cpu", "--jobs", "1")
    store = Store(book.store)
    units = plan(store, catalogue(book.root), profile="quick", device="cpu")
    (real,) = (unit.run for unit in units if unit.run is not None)
    stored = 1
    for unit in units:
        if unit.run is None:
            _store(store, real, unit)
            stored += 1
    for number in range(runs - stored):
        unit = units[number % len(units)]
        then = {**unit.fingerprint.versions, "python": f"3.10.{number // len(units)}"}
        _store(store, real, replace(unit, fingerprint=replace(unit.fingerprint, versions=then)))


def _store(store: Store, real: Run, unit: Unit) -> None:
    """Store a run as a unit's that is the real one but for its name."""
    parameters = unit.fingerprint.parameters
    own = {
        "key": unit.key,
        "seed": unit.seed,
        "parameters": parameters,
        "versions": unit.fingerprint.versions,
    }
    record = {
        **real.record,
        "chapter": unit.chapter.slug,
        "fingerprint": unit.fingerprint.record(),
        "provenance": {**real.record["provenance"], **own},
    }
    workspace = store.workspace(unit.key)
    text = (real.folder / NOTEBOOK).read_text(encoding="utf-8")
    text = text.replace(FIRST, unit.chapter.slug).replace(_title(FIRST), _title(unit.chapter.slug))
    (workspace / NOTEBOOK).write_text(text, encoding="utf-8")
    store.commit(workspace, unit.key, record, real.seconds)


def _write_toc(root: Path, names: Iterable[str]) -> None:
    pages = "".join(
        f"      - file: book/{name}\n" for name in ("how-to-read", "scoreboard", "speed", "provenance")
    )
    chapters = "".join(f"      - file: book/{PART}/{name}\n" for name in names)
    parts = f"  - caption: The book\n    chapters:\n{pages}  - caption: {PARTS[PART]}\n    chapters:"
    text = f"format: jb-book\nroot: book/intro\nparts:\n{parts}" + (f"\n{chapters}" if chapters else " []\n")
    (root / "_toc.yml").write_text(text, encoding="utf-8")


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _module(name: str) -> str:
    return name.replace("-", "_")
