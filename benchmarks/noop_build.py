"""`make book` with nothing changed, beside jupyter-book's own no-op build of the same pages; same run, medians of 5.

.venv/bin/python benchmarks/noop_build.py        # after make book
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kexue.press.project import store_folder
from kexue.press.results.snapshot import edition
from kexue.press.site.data import site_data
from kexue.press.site.stage import stage
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.store import Store

ROOT = Path(__file__).parents[1]


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure both, interleaved, and print the medians."""
    shown = edition(ROOT, catalogue(ROOT), Store(store_folder(ROOT)), profile="quick", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        stage(shown, site_data(shown), source)
        ours = ["make", "book"]
        jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
        theirs = [*jupyter_book, "build", str(source), "--path-output", folder]
        for warm_up in (ours, theirs):
            seconds(warm_up)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(5)]
    mine, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"nothing changed: make book {mine:.2f} s, jupyter-book {peer:.2f} s, ratio {mine / peer:.2f}")


if __name__ == "__main__":
    main()
