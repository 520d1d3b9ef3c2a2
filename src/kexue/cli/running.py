"""`kexue run`, and what runs the stale chapters for `kexue build`."""

from __future__ import annotations

from typing import Any

import typer

from kexue.cli.options import (
    Book,
    Chapters,
    ClusterOption,
    Device,
    DeviceOption,
    ForceOption,
    JobsOption,
    Profile,
    ProfileOption,
    SeedsOption,
    SetOption,
    StrictOption,
    app,
    book_of,
    errors,
    grid_of,
    seeds_of,
)


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
    with errors():
        code = run_stale(
            book_of(chapters),
            profile,
            seeds,
            device,
            jobs,
            force,
            strict,
            cluster=cluster,
            grid=grid_of(settings),
        )
    raise typer.Exit(code)


def run_stale(
    book: Book,
    profile: str,
    seeds: str | None,
    device: str,
    jobs: int | None,
    force: bool,
    strict: bool,
    cluster: str | None = None,
    grid: dict[str, list[Any]] | None = None,
) -> int:
    """Run what is stale of the book's chapters and show what came of it; the exit code."""
    from kexue.cli.tables import Progress, grid_table, runs_table, show
    from kexue.press.cluster.runner import run_stale as run_units
    from kexue.press.cluster.runner import stale
    from kexue.press.cluster.task import Interrupted, OutcomeStatus
    from kexue.press.results.snapshot import edition
    from kexue.press.store.plan import plan

    which = seeds_of(seeds)
    if book.named:
        for chapter in book.chapters:
            chapter.seeds(profile)  # a chapter asked for by name must have the profile
    units = plan(book.store, book.chapters, profile=profile, device=device, seeds=which, grid=grid)
    try:
        with Progress(stale(units, force)) as progress:
            outcomes = run_units(
                units,
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
    failed = [outcome for outcome in outcomes if outcome.status == OutcomeStatus.FAILED]
    nowhere = [outcome for outcome in outcomes if outcome.status == OutcomeStatus.NOT_RUNNABLE]
    turned, problems = [], []
    if grid:
        from kexue.press.results.sweeps import points

        show(grid_table(points(book.store, book.chapters, profile, device)))
    else:
        shown = edition(book.root, book.chapters, book.store, profile=profile, device=device, seeds=which)
        show(runs_table(outcomes, shown))
        turned = [
            f"{entry.chapter.slug}: {difference}"
            for entry in shown.chapters
            for difference in entry.differences
        ]
        problems = [
            f"{entry.chapter.slug}: {problem}" for entry in shown.chapters for problem in entry.problems
        ]
    for outcome in failed:
        typer.secho(f"failed: {outcome.unit.name}: {outcome.message}", fg=typer.colors.RED, err=True)
    for outcome in nowhere:
        text = f"not runnable here: {outcome.unit.name}: {outcome.message}"
        typer.secho(text, fg=typer.colors.YELLOW, err=True)
    for difference in turned:
        typer.secho(f"verdict differs from the record: {difference}", fg=typer.colors.YELLOW, err=True)
    for problem in problems:
        typer.secho(f"kexue: {problem}", fg=typer.colors.YELLOW, err=True)
    missing = nowhere and (book.named or strict or device == "cuda")  # what was asked for did not happen
    return 1 if failed or missing or (strict and (turned or problems)) else book.code
