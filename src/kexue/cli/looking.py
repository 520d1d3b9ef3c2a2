"""Commands that look: list, why, claims, table, doctor; none runs anything."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexue.cli.options import (
    Chapters,
    Device,
    DeviceOption,
    JsonOption,
    Profile,
    ProfileOption,
    SeedsOption,
    app,
    book_of,
    errors,
    print_json,
    seeds_of,
)

if TYPE_CHECKING:
    from kexue.press.results.sweeps import SweepRow


@app.command("list")
def list_chapters(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Show the chapters: what each claims, and whether its stored runs are fresh, stale, failed or missing."""
    with errors():
        from kexue.press.store.plan import State, cost_of, plan, state_of

        book = book_of(chapters)
        rows = []
        index = cache(book.store.index)
        for chapter in book.chapters:
            units = plan(book.store, [chapter], profile=profile, device=device, index=index)
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
            rows.append({"chapter": chapter.slug, "part": chapter.part, "state": State.FAILED, **nothing})
    if as_json:
        print_json(rows)
    else:
        from kexue.cli.tables import chapters_table, show

        show(chapters_table(rows))
    raise typer.Exit(book.code)


@app.command()
def why(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Say why chapters are stale: which cell, module, data set, parameter or version changed."""
    with errors():
        from kexue.press.store.plan import plan

        book = book_of(chapters)
        units = plan(book.store, book.chapters, profile=profile, device=device, seeds=seeds_of(seeds))
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
        print_json(rows)
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
    with errors():
        from kexue.press.results.pooled import rows
        from kexue.press.store.plan import plan

        book = book_of(chapters)
        which = seeds_of(seeds)
        ledger = [
            row
            for chapter in book.chapters
            for row in rows(
                chapter, plan(book.store, [chapter], profile=profile, device=device, seeds=which), profile
            )
        ]
    if as_json:
        print_json(ledger)
    else:
        from kexue.cli.tables import claims_table, show

        show(claims_table(ledger))
    raise typer.Exit(book.code)


@app.command()
def table(
    chapters: Chapters = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    every: Annotated[bool, typer.Option("--all", help="Claims that no setting moves, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what runs with changed settings (`kexue run --set`) measured: a row a claim and combination."""
    with errors():
        from kexue.press.results.sweeps import points

        book = book_of(chapters)
        found = points(book.store, book.chapters, profile, device)
    if as_json:
        print_json(found)
    else:
        from kexue.cli.tables import grid_table, show

        moved = found if every else _moved(found)
        show(grid_table(moved))
        if len(moved) < len(found):
            typer.echo(f"{len(found) - len(moved)} rows of claims that no setting moves are left out: --all")
    raise typer.Exit(book.code)


def _moved(found: list[SweepRow]) -> list[SweepRow]:
    """The rows of claims that the settings make a difference to."""
    seen: dict[tuple[str, str], set[tuple[str, float | None]]] = {}
    for row in found:
        seen.setdefault((row["chapter"], row["id"]), set()).add((row["verdict"], row["mean"]))
    return [row for row in found if len(seen[row["chapter"], row["id"]]) > 1]


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run: Python, torch, GPUs, data, disk, fonts."""
    with errors():
        from kexue.cli.doctor import examine

        book = book_of(None)
        report = examine(book.root, book.chapters, book.store)
    if as_json:
        print_json(report)
        return
    from kexue.cli.tables import doctor_table, show

    show(doctor_table(report))
