"""How far a long loop is: a bar for whoever waits in front of it, in a terminal or a notebook, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from tqdm import tqdm

AFTER = 2.0  # seconds: what is done by then needs no bar


def progress(steps: range, description: str) -> Iterator[int]:
    """The steps one after the other, with a bar once they take more than two seconds; it goes away at the end.

    There is none where TQDM_DISABLE is set, as in the book's own runs, or where nobody looks: a pipe, a file, a log.

    Args:
        steps: of consecutive numbers; a loop that goes on from a checkpoint starts where it was.
        description: what is done, in a word or two.
    """
    bar: Iterator[int] = tqdm(
        steps,
        desc=description,
        initial=steps.start,
        total=max(steps.start, steps.stop),
        delay=AFTER,
        leave=False,
        disable=not watched(),
    )
    return iter(bar)


def watched() -> bool:
    """Whether somebody sees a bar: a terminal or a notebook, and TQDM_DISABLE says nothing else."""
    if os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
        return False
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
        return type(shell).__name__ == "ZMQInteractiveShell" or sys.stderr.isatty()
    return sys.stderr.isatty()
