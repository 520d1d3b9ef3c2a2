"""The command line of the book: `kexue --help`."""

from __future__ import annotations

import signal
import sys

from kexue.cli import looking, making, running  # their commands
from kexue.cli.options import app

__all__ = ["app", "looking", "main", "making", "running"]


def main() -> None:
    """The entry point: a closed pipe (`kexue list | head`) is no error, and SIGTERM ends like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except BrokenPipeError:
        sys.exit(141)
