"""`kexue build` with nothing changed, beside jupyter-book's own no-op build of the same pages; same run, medians of 5.

.venv/bin/python benchmarks/noop_build.py        # after make book
.venv/bin/python benchmarks/noop_build.py --tiny # a generated book of one chapter: only to see that it runs
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generated import Book, fill_store, write_book
from record import add_options, record

from kexue.press.project import store_folder
from kexue.press.results.benchmarks import Value
from kexue.press.results.snapshot import edition
from kexue.press.site.api import library
from kexue.press.site.data import site_data
from kexue.press.site.stage import stage
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.store import Store

ROOT = Path(__file__).parents[1]
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]


def ours(book: Book) -> float:
    """Seconds of `kexue build`."""
    start = time.perf_counter()
    book.kexue("build", "--device", "cpu")
    return time.perf_counter() - start


def theirs(source: Path) -> float:
    """Seconds of jupyter-book on the pages as they are handed to it."""
    start = time.perf_counter()
    command = [*JUPYTER_BOOK, str(source), "--path-output", str(source.parent)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"jupyter-book: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return time.perf_counter() - start


def stage_pages(book: Book, source: Path) -> None:
    """Lay out the pages as `kexue publish` hands them to jupyter-book."""
    source.mkdir()
    chapters = catalogue(book.root)
    shown = edition(book.root, chapters, Store(book.store), profile="quick", device="cpu")
    data = site_data(shown)
    data["pdf"], data["reference"] = False, library(book.root, chapters)
    stage(shown, data, source)


def compare(book: Book, folder: Path, repeats: int) -> tuple[float, float]:
    """Median seconds of both, interleaved, after a build that does not count."""
    stage_pages(book, folder / "source")
    ours(book), theirs(folder / "source")
    pairs = [(ours(book), theirs(folder / "source")) for _ in range(repeats)]
    mine, peer = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(peer)


def main() -> None:
    """Measure both and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.tiny:
            book = write_book(folder / "book-root", 1)
            fill_store(book, 3)
        else:
            book = Book(ROOT, store_folder(ROOT))
        mine, peer = compare(book, folder, 1 if options.tiny else 5)
    print(f"nothing changed: kexue build {mine:.2f} s, jupyter-book {peer:.2f} s, ratio {mine / peer:.2f}")
    if options.record:
        rows: list[dict[str, Value]] = [
            {"book": "this one", "kexue build, s": round(mine, 2), "jupyter-book, s": round(peer, 2)}
        ]
        print(f"recorded in {record('noop_build', rows)}")


if __name__ == "__main__":
    main()
