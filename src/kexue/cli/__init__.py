"""The command line of the book: `kexue --help`."""

from __future__ import annotations

import io
import os
import signal
import sys

from kexue.cli import looking, making, running  # their commands
from kexue.cli.options import app

__all__ = ["app", "looking", "main", "making", "running"]


def main() -> None:
    """The entry point: a closed pipe (`kexue list | head`) is no error, and SIGTERM ends like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # a terminal that cannot show ✓ or 中 gets a question mark, no traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is for nobody
        sys.exit(141)
