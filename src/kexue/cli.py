"""The command line of the book: `kexue --help`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kexue.press.catalogue import Chapter
    from kexue.press.plan import Unit
    from kexue.press.store import Store

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
def _errors() -> Iterator[None]:
    """Turn what the press cannot do into one line on standard error and exit code 2."""
    from kexue.press.root import PressError

    try:
        yield
    except (PressError, ValueError) as error:
        typer.secho(f"kexue: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(130) from interrupt


@dataclass(frozen=True)
class _Book:
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


def _book(names: list[str] | None) -> _Book:
    from kexue.press.catalogue import select
    from kexue.press.root import PressError, find_root, store_folder
    from kexue.press.store import Store

    root = find_root()
    sound, unreadable = [], []
    for chapter in select(root, names):
        try:
            chapter.check()
            sound.append(chapter)
        except PressError as error:
            unreadable.append(chapter)
            typer.secho(f"kexue: {error}", fg=typer.colors.RED, err=True)
    return _Book(root, tuple(sound), tuple(unreadable), Store(store_folder(root)), named=bool(names))


def _seeds(text: str | None) -> tuple[int, ...] | None:
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


def _grid(texts: list[str] | None) -> dict[str, list[Any]]:
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


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, ensure_ascii=False, indent=1))


@app.command("list")
def list_chapters(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Show the chapters: what each claims, and whether its stored runs are fresh, stale, failed or missing."""
    with _errors():
        from kexue.press.plan import FAILED, cost_of, plan, state_of

        book = _book(chapters)
        rows = []
        for chapter in book.chapters:
            units = plan(book.store, [chapter], profile=profile, device=device)
            rows.append(
                {
                    "chapter": chapter.slug,
                    "part": chapter.part,
                    "title": chapter.title,
                    "title_zh": chapter.title_zh,
                    "profiles": list(chapter.profiles),
                    "claims": len(chapter.claims),
                    "state": state_of(units),
                    "runs": f"{sum(unit.run is not None for unit in units)} of {len(units)}",
                    **cost_of(units),
                }
            )
        for chapter in book.unreadable:
            nothing: dict[str, Any] = {
                "title": chapter.slug,
                "title_zh": "",
                "profiles": [],
                "claims": 0,
                "runs": "",
                **cost_of([]),
            }
            rows.append({"chapter": chapter.slug, "part": chapter.part, "state": FAILED, **nothing})
    if as_json:
        _print_json(rows)
    else:
        from kexue.press.tables import chapters_table, show

        show(chapters_table(rows))
    raise typer.Exit(book.code)


@app.command()
def run(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    settings: SetOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Run what is stale, in parallel; exit code 1 if any chapter failed (the others finish)."""
    with _errors():
        code = _run(
            _book(chapters),
            profile,
            seeds,
            device,
            jobs,
            force,
            strict,
            cluster=cluster,
            grid=_grid(settings),
        )
    raise typer.Exit(code)


def _run(
    book: _Book,
    profile: str,
    seeds: str | None,
    device: str,
    jobs: int | None,
    force: bool,
    strict: bool,
    cluster: str | None = None,
    grid: dict[str, list[Any]] | None = None,
) -> int:
    from kexue.press.edition import edition
    from kexue.press.events import Interrupted, Outcome
    from kexue.press.plan import plan
    from kexue.press.run import run_units
    from kexue.press.tables import Progress, grid_table, runs_table, show

    which = _seeds(seeds)
    if book.named:
        for chapter in book.chapters:
            chapter.seeds(profile)  # a chapter asked for by name must have the profile
    units = plan(book.store, book.chapters, profile=profile, device=device, seeds=which, grid=grid)
    work = [unit for unit in units if force or unit.run is None]
    outcomes: list[Outcome] = []
    if work:
        book.store.check_writable()
        try:
            with Progress(work) as progress:
                outcomes = run_units(
                    work,
                    book.store,
                    force=force,
                    tell=progress.tell,
                    jobs=jobs,
                    cluster=cluster,
                    warn=lambda text: typer.secho(f"kexue: {text}", fg=typer.colors.YELLOW, err=True),
                )
        except Interrupted as interrupted:
            text = "kexue: interrupted; finished runs are kept, no kernel is left"
            typer.secho(text, fg=typer.colors.YELLOW, err=True)
            raise typer.Exit(130) from interrupted
    fresh = [Outcome(u, "fresh", seconds=u.run.seconds) for u in units if u.run is not None and not force]
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    nowhere = [outcome for outcome in outcomes if outcome.status == "not runnable"]
    turned = []
    if grid:
        from kexue.press.grid import points

        show(grid_table(points(book.store, book.chapters, profile, device)))
    else:
        shown = edition(book.root, book.chapters, book.store, profile=profile, device=device, seeds=which)
        show(runs_table([*fresh, *outcomes], shown))
        turned = [
            f"{entry.chapter.slug}: {difference}"
            for entry in shown.chapters
            for difference in entry.differences
        ]
    for outcome in failed:
        typer.secho(f"failed: {outcome.unit.name}: {outcome.message}", fg=typer.colors.RED, err=True)
    for outcome in nowhere:
        text = f"not runnable here: {outcome.unit.name}: {outcome.message}"
        typer.secho(text, fg=typer.colors.YELLOW, err=True)
    for difference in turned:
        typer.secho(f"verdict differs from the record: {difference}", fg=typer.colors.YELLOW, err=True)
    missing = nowhere and (book.named or strict or device == "cuda")  # what was asked for did not happen
    return 1 if failed or missing or (strict and turned) else book.code


@app.command()
def why(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Say why chapters are stale: which cell, module, data set, parameter or version changed."""
    with _errors():
        from kexue.press.plan import plan

        book = _book(chapters)
        units = plan(book.store, book.chapters, profile=profile, device=device)
        rows: list[dict[str, Any]] = [
            {
                "chapter": unit.chapter.slug,
                "profile": unit.profile,
                "seed": unit.seed,
                "state": unit.state,
                "reasons": unit.reasons(),
            }
            for unit in units
        ]
    if as_json:
        _print_json(rows)
        raise typer.Exit(book.code)
    for row in rows:
        typer.secho(f"{row['chapter']} · {row['profile']} · seed {row['seed']}: {row['state']}", bold=True)
        for reason in row["reasons"]:
            typer.echo(f"  {reason}")
    raise typer.Exit(book.code)


@app.command()
def claims(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger: every claim, what was measured over the stored runs, and the verdict."""
    with _errors():
        from kexue.press.ledgers import rows
        from kexue.press.plan import plan

        book = _book(chapters)
        which = _seeds(seeds)
        ledger = [
            row
            for chapter in book.chapters
            for row in rows(
                chapter, plan(book.store, [chapter], profile=profile, device=device, seeds=which), profile
            )
        ]
    if as_json:
        _print_json(ledger)
    else:
        from kexue.press.tables import claims_table, show

        show(claims_table(ledger))
    raise typer.Exit(book.code)


@app.command()
def table(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Show what runs with changed settings (`kexue run --set`) measured: a row a claim and combination."""
    with _errors():
        from kexue.press.grid import points

        book = _book(chapters)
        found = points(book.store, book.chapters, profile, device)
    if as_json:
        _print_json(found)
    else:
        from kexue.press.tables import grid_table, show

        show(grid_table(found))
    raise typer.Exit(book.code)


@app.command()
def publish(
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    strict: StrictOption = False,
    pdf: PdfOption = False,
) -> None:
    """Set the stored runs as a site in _build/html; nothing is run."""
    with _errors():
        code = _publish(_book(None), profile, device, strict, pdf)
    raise typer.Exit(code)


@app.command()
def preview(
    chapter: Annotated[str, typer.Argument(help="The chapter.")],
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve it; 0: any free port.")] = 8765,
) -> None:
    """Show a chapter in the browser while it is written: every save renders it, changed code runs again."""
    with _errors():
        from kexue.press.preview import Preview, serve

        book = _book([chapter])
        if not book.chapters:
            raise typer.Exit(book.code)
        (found,) = book.chapters
        shown = Preview(book.root, chapter, book.store, profile=profile, device=device, tell=typer.echo)
        try:
            server = serve(shown, port)
            typer.echo(f"http://127.0.0.1:{server.server_port}/{found.docname}.html (Ctrl-C ends)")
            shown.watch(lambda: False)
        finally:
            shown.close()


@app.command()
def notebooks(
    folder: Annotated[Path, typer.Argument(help="A new folder, to become the branch of notebooks.")],
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
) -> None:
    """Write the executed chapters as notebooks: the branch that Colab, Binder and hubs open."""
    with _errors():
        from kexue.press.edition import edition
        from kexue.press.notebooks import write_branch

        book = _book(None)
        shown = edition(book.root, book.chapters, book.store, profile=profile, device=device)
        for path in write_branch(shown, folder):
            typer.echo(str(path))
    raise typer.Exit(book.code)


def _publish(book: _Book, profile: str, device: str, strict: bool, pdf: bool = False) -> int:
    from kexue.press.edition import edition
    from kexue.press.publish import publish as set_site

    shown = edition(book.root, book.chapters, book.store, profile=profile, device=device)
    report = set_site(shown, pdf=pdf)
    for problem in report.problems:
        typer.secho(f"kexue: {problem}", fg=typer.colors.YELLOW, err=True)
    how = "unchanged" if report.skipped else f"{report.pages} pages in {report.seconds:.1f} s"
    typer.echo(f"site: {book.root / '_build' / 'html' / 'index.html'} ({how})")
    return 1 if strict and report.problems else book.code


@app.command()
def build(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    cluster: ClusterOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Run what is stale, then publish the site; a failed chapter is shown as such and the exit code is 1."""
    with _errors():
        ran = _run(_book(chapters), profile, seeds, device, jobs, force, strict, cluster=cluster)
        published = _publish(_book(None), profile, device, strict)
    raise typer.Exit(ran or published)


@app.command()
def freeze(
    chapter: Annotated[str, typer.Argument(help="The chapter.")],
    profile: ProfileOption = Profile.full,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Put a chapter's measured claims on record, with their provenance, in results/ (to be committed)."""
    with _errors():
        from kexue.press.plan import plan
        from kexue.press.record import freeze as put_on_record

        book = _book([chapter])
        if not book.chapters:
            raise typer.Exit(book.code)
        (found,) = book.chapters
        found.seeds(profile)
        units: list[Unit] = plan(book.store, [found], profile=profile, device=device, seeds=_seeds(seeds))
        typer.echo(str(put_on_record(found, units, profile)))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run: Python, torch, GPUs, data, disk, fonts."""
    with _errors():
        from kexue.press.doctor import examine

        book = _book(None)
        report = examine(book.root, book.chapters, book.store)
    if as_json:
        _print_json(report)
        return
    from kexue.press.tables import doctor_table, show

    show(doctor_table(report))


@app.command()
def new(
    chapter: Annotated[str, typer.Argument(help="The new chapter's name, kebab-case.")],
    part: Annotated[str, typer.Option(help="The part of the book: a folder of book/.")] = "language",
    title: Annotated[str, typer.Option(help="Its English title.")] = "",
    title_zh: Annotated[str, typer.Option("--title-zh", help="Its Chinese title.")] = "",
) -> None:
    """Make the skeleton of a chapter, with a claim, a picture and the test that plants a fault."""
    with _errors():
        from kexue.press.root import find_root
        from kexue.press.skeleton import make_chapter

        for path in make_chapter(find_root(), chapter, part=part, title=title, title_zh=title_zh):
            typer.echo(str(path))


def main() -> None:
    """The entry point: a closed pipe (`kexue list | head`) is no error, and SIGTERM ends like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except BrokenPipeError:
        sys.exit(141)


if __name__ == "__main__":
    main()
