"""What the commands cost as the book and its store grow: generated chapters, generated stored runs.

    python benchmarks/growth.py                                  # 6 and 36 chapters, 1,000 and 10,000 runs
    python benchmarks/growth.py --chapters 36 --runs 1000
    python benchmarks/growth.py --chapters 6 36 200              # and a book of 200: many minutes
    python benchmarks/growth.py --tiny                           # seconds, without publishing: only to see that it runs

For every book, in turn: `kexue list`; `kexue run` with nothing stale; `kexue publish` from nothing, with nothing changed, and
after one word of one chapter changed; then, in each larger store, `list` and `run` again, and `why` with one stale chapter, which
looks for the nearest older run. Medians of `--repeats`, but for the publishing from nothing, which is done once. `--clock cpu` counts
the processors' seconds of the commands in place of the wall's, for a machine that is not idle.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from generated import FIRST, PART, SEEDS, Book, fill_store, write_book
from record import add_options, record

from kexue.press.results.benchmarks import Value


def children() -> float:
    """Processor seconds of the commands that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


CLOCKS = {"wall": time.perf_counter, "cpu": children}
clock = CLOCKS["wall"]


def seconds(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = clock()
    call()
    return clock() - start


def change(book: Book, of: str, number: int) -> None:
    """Change prose ("page") or code ("cell") of the first chapter."""
    path = book.root / "book" / PART / f"{FIRST}.md"
    text = path.read_text(encoding="utf-8")
    if of == "page":
        path.write_text(text + f"\nOne word more: {number}.\n", encoding="utf-8")
    else:
        path.write_text(text.replace("bins=30", f"bins={31 + number}"), encoding="utf-8")


def measure(book: Book, repeats: int, publish: bool) -> dict[str, float]:
    """Seconds of each command."""

    def median(*command: str, before: Callable[[int], None] = lambda number: None) -> float:
        taken = []
        for number in range(repeats):
            before(number)
            taken.append(seconds(partial(book.kexue, *command, "--device", "cpu")))
        return statistics.median(taken)

    found = {"list": median("list"), "run, nothing stale": median("run")}
    if publish:
        found["publish, from nothing"] = seconds(partial(book.kexue, "publish", "--device", "cpu"))
        found["publish, nothing changed"] = median("publish")
        found["publish, one page changed"] = median("publish", before=partial(change, book, "page"))
    text = (book.root / "book" / PART / f"{FIRST}.md").read_text(encoding="utf-8")
    change(book, "cell", 0)
    found["why, one chapter stale"] = median("why")
    (book.root / "book" / PART / f"{FIRST}.md").write_text(text, encoding="utf-8")
    return found


def main() -> None:
    """Measure every book with every store, print the table."""
    global clock
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chapters", type=int, nargs="+", default=[6, 36])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    add_options(parser)
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    if options.tiny:
        options.chapters, options.runs, options.repeats = [2], [10], 1
    rows: list[dict[str, Value]] = []
    print(f"{'chapters':>8}{'runs':>8}  {'command':28}{'seconds':>9}")
    for chapters in options.chapters:
        with tempfile.TemporaryDirectory() as folder:
            book = write_book(Path(folder), chapters)
            for place, runs in enumerate(options.runs):
                shutil.rmtree(book.store, ignore_errors=True)
                fill_store(book, max(runs, SEEDS * chapters))
                for command, taken in measure(
                    book, options.repeats, publish=place == 0 and not options.tiny
                ).items():
                    print(f"{chapters:8}{runs:8}  {command:28}{taken:9.2f}", flush=True)
                    rows.append(
                        {
                            "chapters": chapters,
                            "stored runs": runs,
                            "kexue": command,
                            "s": round(taken, 2),
                            "clock": options.clock,
                        }
                    )
    if options.record:
        print(f"recorded in {record('growth', rows)}")


if __name__ == "__main__":
    main()
