"""`make book` with nothing changed, beside jupyter-book's own no-op build of the same pages; same run, medians of 5.

    .venv/bin/python benchmarks/noop_build.py        # after make book
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "_build" / "site-src"
OUT = ROOT / "_build" / "bench"


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure both, interleaved, and print the medians."""
    ours = ["make", "book"]
    theirs = [sys.executable, "-m", "jupyter_book", "build", str(SOURCE), "--path-output", str(OUT)]
    for warm_up in (ours, theirs):
        seconds(warm_up)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(5)]
    mine, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"make book, nothing changed: {mine:.2f} s; jupyter-book, nothing changed: {peer:.2f} s; ratio {mine / peer:.2f}")


if __name__ == "__main__":
    main()
