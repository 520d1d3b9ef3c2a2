"""What the commands share: their options, the book they work on, how errors are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kexue.press.sources.chapter import Chapter
    from kexue.press.store.store import Store

app = typer.Typer(
    help="Kexue, Executed: run the chapters, judge their claims, publish the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Profile(StrEnum):
    """How much a run computes."""

    smoke = "smoke"
    quick = "quick"
    full = "full"


class Device(StrEnum):
    """Where a run computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Chapters = Annotated[
    list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Chapters by name; all of them if none.")
]
ProfileOption = Annotated[
    Profile,
    typer.Option(help="smoke: seconds, for tests; quick: minutes on a laptop; full: the article's scale."),
]
SeedsOption = Annotated[
    str | None,
    typer.Option(metavar="N|A,B,…", help="How many seeds, or which; default: what each chapter says."),
]
DeviceOption = Annotated[
    Device, typer.Option(help="auto: a GPU for the profiles of chapters that ask for one.")
]
JobsOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time on this machine; default: one a core.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run again what is fresh, too.")]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Exit code 1 if anything is stale, failed, or judged otherwise than on record."
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run on the workers of this Dask scheduler (tcp://HOST:PORT, tls://HOST:PORT).",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=A,B,…",
        help="Values of an entry of the chapter's settings to try, every combination of several; see kexue table.",
    ),
]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Print the book into one PDF, too (wants Chromium).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def errors() -> Iterator[None]:
    """Turn what cannot be done into one line on standard error and exit code 2; no traceback for what a user meets.

    What the system refuses (a full disk, a taken port, a file that may not be read) goes the same road.
    """
    from kexue.press.project import PressError, outside

    try:
        yield
    except BrokenPipeError:
        raise
    except (PressError, ValueError) as error:
        tell(f"kexue: {_short(str(error))}", typer.colors.RED)
        raise typer.Exit(2) from error
    except OSError as error:
        tell(f"kexue: {outside(error)}", typer.colors.RED)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(130) from interrupt


def tell(text: str, colour: str = typer.colors.YELLOW) -> None:
    """A line on standard error for who sits in front of it."""
    typer.secho(text, fg=colour, err=True)


_LONGEST = 4000  # characters of a message that a terminal is given; the store keeps the rest


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters in all)"


@dataclass(frozen=True)
class Book:
    """The book a command works on; a chapter that cannot be read is told, and hides no other."""

    root: Path
    chapters: tuple[Chapter, ...]
    unreadable: tuple[Chapter, ...]
    store: Store
    named: bool

    @property
    def code(self) -> int:
        """The exit code that the chapters' readability alone asks for."""
        return 1 if self.unreadable else 0


def book_of(names: list[str] | None) -> Book:
    """The book around the working folder with the chapters named, or all; what cannot be read is told at once."""
    from kexue.press.project import PressError, find_root, store_folder
    from kexue.press.sources.catalogue import select
    from kexue.press.store.store import Store

    root = find_root()
    sound, unreadable = [], []
    for chapter in select(root, names):
        try:
            chapter.check()
            sound.append(chapter)
        except PressError as error:
            unreadable.append(chapter)
            tell(f"kexue: {_short(str(error))}", typer.colors.RED)
    return Book(root, tuple(sound), tuple(unreadable), Store(store_folder(root)), named=bool(names))


def seeds_of(text: str | None) -> tuple[int, ...] | None:
    """The seeds that `--seeds` names: a number of them, or a list.

    Raises:
        ValueError: saying what came and what is wanted.
    """
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--seeds must be a number of seeds or a list such as 0,3,7; got {text!r}")
    numbers = tuple(int(part) for part in parts)
    if len(numbers) == 1:
        if numbers[0] < 1:
            raise ValueError("--seeds must be at least 1; for seed 0 alone say --seeds 1")
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"--seeds must name each seed once, got {text!r}")
    return numbers


def grid_of(texts: list[str] | None) -> dict[str, list[Any]]:
    """The values to try by name of a setting; a value is a Python literal, or else a word."""
    import ast

    grid: dict[str, list[Any]] = {}
    for text in texts or ():
        name, equals, values = text.partition("=")
        if not (equals and name.isidentifier() and values):
            raise ValueError(f"--set must be NAME=VALUE or NAME=A,B,…; got {text!r}")
        if name in grid:
            raise ValueError(f"--set must name each setting once, got {name} twice")
        try:
            grid[name] = list(ast.literal_eval(f"[{values}]"))
        except (ValueError, SyntaxError):
            grid[name] = values.split(",")
        json.dumps(grid[name])
    return grid


def print_json(data: Any) -> None:
    """Print plain data as JSON, Chinese as it is."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=1))
