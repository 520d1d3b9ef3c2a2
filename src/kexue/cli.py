"""The command line of the book: `kexue --help`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kexue.press.catalogue import Chapter
    from kexue.press.edition import Edition
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
DeviceOption = Annotated[Device, typer.Option(help="auto takes a GPU where there is one.")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time; default: one a core (GPU: one).")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run again what is fresh, too.")]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Exit code 1 if anything is stale, failed, or judged otherwise than on record."
    ),
]
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


def _book(chapters: list[str] | None) -> tuple[Path, tuple[Chapter, ...], Store]:
    from kexue.press.catalogue import select
    from kexue.press.root import find_root, store_folder
    from kexue.press.store import Store

    root = find_root()
    return root, select(root, chapters), Store(store_folder(root))


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
        from kexue.press.plan import plan, resolve_device, state_of

        _, found, store = _book(chapters)
        where = resolve_device(device)
        rows = []
        for chapter in found:
            units = plan(store, [chapter], profile=profile, device=where)
            last = [unit.last.seconds for unit in units if unit.last is not None]
            rows.append(
                {
                    "chapter": chapter.slug,
                    "part": chapter.part,
                    "title": chapter.title,
                    "title_zh": chapter.title_zh,
                    "profiles": list(chapter.profiles),
                    "claims": len(chapter.claims),
                    "state": state_of(units),
                    "seconds": round(sum(last), 3) if last else None,
                }
            )
    if as_json:
        _print_json(rows)
        return
    from kexue.press.tables import chapters_table, show

    show(chapters_table(rows))


@app.command()
def run(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Run what is stale, in parallel; exit code 1 if any chapter failed (the others finish)."""
    with _errors():
        root, found, store = _book(chapters)
        code = _run(
            root, found, store, profile, _seeds(seeds), device, jobs, force, strict, named=bool(chapters)
        )
    raise typer.Exit(code)


def _run(
    root: Path,
    chapters: tuple[Chapter, ...],
    store: Store,
    profile: str,
    seeds: tuple[int, ...] | None,
    device: str,
    jobs: int | None,
    force: bool,
    strict: bool,
    named: bool,
) -> int:
    from kexue.press.edition import edition
    from kexue.press.plan import plan, resolve_device
    from kexue.press.run import Interrupted, Outcome, run_units
    from kexue.press.tables import Progress, runs_table, show

    where = resolve_device(device)
    if named:
        for chapter in chapters:
            chapter.seeds(profile)  # a chapter asked for by name must have the profile
    units = plan(store, chapters, profile=profile, device=where, seeds=seeds)
    work = [unit for unit in units if force or unit.run is None]
    fresh = [
        Outcome(unit, "fresh", seconds=unit.run.seconds)
        for unit in units
        if unit.run is not None and not force
    ]
    outcomes: list[Outcome] = []
    if work:
        store.check_writable()
        limit = jobs or (1 if where == "cuda" else _cores())
        try:
            with Progress(work) as progress:
                outcomes = run_units(work, store, jobs=min(limit, len(work)), force=force, tell=progress.tell)
        except Interrupted as interrupted:
            typer.secho(
                "kexue: interrupted; finished runs are kept, no kernel is left",
                fg=typer.colors.YELLOW,
                err=True,
            )
            raise typer.Exit(130) from interrupted
    shown = edition(root, chapters, store, profile=profile, device=where, seeds=seeds)
    show(runs_table([*fresh, *outcomes], shown))
    for outcome in outcomes:
        if outcome.status == "failed":
            typer.secho(f"failed: {outcome.unit.name}: {outcome.message}", fg=typer.colors.RED, err=True)
    turned = [
        f"{entry.chapter.slug}: {difference}" for entry in shown.chapters for difference in entry.differences
    ]
    for difference in turned:
        typer.secho(f"verdict differs from the record: {difference}", fg=typer.colors.YELLOW, err=True)
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return 1 if failed or (strict and turned) else 0


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@app.command()
def why(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Say why chapters are stale: which cell, module, data set, parameter or version changed."""
    with _errors():
        from kexue.press.plan import plan, resolve_device

        _, found, store = _book(chapters)
        units = plan(store, found, profile=profile, device=resolve_device(device))
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
        return
    for row in rows:
        typer.secho(f"{row['chapter']} · {row['profile']} · seed {row['seed']}: {row['state']}", bold=True)
        for reason in row["reasons"]:
            typer.echo(f"  {reason}")


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
        from kexue.press.plan import plan, resolve_device

        _, found, store = _book(chapters)
        where = resolve_device(device)
        ledger = [
            row
            for chapter in found
            for row in rows(
                chapter, plan(store, [chapter], profile=profile, device=where, seeds=_seeds(seeds)), profile
            )
        ]
    if as_json:
        _print_json(ledger)
        return
    from kexue.press.tables import claims_table, show

    show(claims_table(ledger))


@app.command()
def publish(
    profile: ProfileOption = Profile.quick, device: DeviceOption = Device.auto, strict: StrictOption = False
) -> None:
    """Set the stored runs as a site in _build/html; nothing is run."""
    with _errors():
        root, found, store = _book(None)
        code = _publish(root, found, store, profile, device, strict)
    raise typer.Exit(code)


def _publish(
    root: Path, chapters: tuple[Chapter, ...], store: Store, profile: str, device: str, strict: bool
) -> int:
    from kexue.press.edition import edition
    from kexue.press.plan import resolve_device
    from kexue.press.publish import publish as set_site

    shown: Edition = edition(root, chapters, store, profile=profile, device=resolve_device(device))
    report = set_site(shown, strict=strict)
    for problem in report.problems:
        typer.secho(f"kexue: {problem}", fg=typer.colors.YELLOW, err=True)
    how = "unchanged" if report.skipped else f"{report.pages} pages in {report.seconds:.1f} s"
    typer.echo(f"site: {root / '_build' / 'html' / 'index.html'} ({how})")
    return 1 if strict and report.problems else 0


@app.command()
def build(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    jobs: JobsOption = None,
    force: ForceOption = False,
    strict: StrictOption = False,
) -> None:
    """Run what is stale, then publish the site; a failed chapter is shown as such and the exit code is 1."""
    with _errors():
        root, found, store = _book(chapters)
        ran = _run(
            root, found, store, profile, _seeds(seeds), device, jobs, force, strict, named=bool(chapters)
        )
        _, every, _ = _book(None)
        published = _publish(root, every, store, profile, device, strict)
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
        from kexue.press.plan import plan, resolve_device
        from kexue.press.record import freeze as put_on_record

        _, (found,), store = _book([chapter])
        found.seeds(profile)
        units: list[Unit] = plan(
            store, [found], profile=profile, device=resolve_device(device), seeds=_seeds(seeds)
        )
        typer.echo(str(put_on_record(found, units, profile)))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run: Python, torch, GPUs, data, disk, fonts."""
    with _errors():
        from kexue.press.doctor import examine

        root, found, store = _book(None)
        report = examine(root, found, store)
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
    """Entry point that keeps a closed pipe (`kexue list | head`) quiet."""
    try:
        app()
    except BrokenPipeError:
        sys.exit(141)


if __name__ == "__main__":
    main()
