"""Commands that make something of stored runs: a site, notebooks, a record; and a new chapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kexue.cli.options import (
    Book,
    Chapters,
    ClusterOption,
    Device,
    DeviceOption,
    ForceOption,
    JobsOption,
    PdfOption,
    Profile,
    ProfileOption,
    SeedsOption,
    StrictOption,
    app,
    book_of,
    errors,
    seeds_of,
)
from kexue.cli.running import run_stale

if TYPE_CHECKING:
    from kexue.press.store.plan import Unit


@app.command()
def publish(
    chapters: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    strict: StrictOption = False,
    pdf: PdfOption = False,
) -> None:
    """Set the stored runs as a site in _build/html; nothing is run."""
    with errors():
        if chapters:
            raise ValueError(
                f"publish renders the whole book; to look at one chapter: kexue preview {chapters[0]}"
            )
        code = _publish(book_of(None), profile, device, strict, pdf)
    raise typer.Exit(code)


@app.command()
def preview(
    chapter: Annotated[str, typer.Argument(help="The chapter.")],
    profile: ProfileOption = Profile.quick,
    device: DeviceOption = Device.auto,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve it; 0: any free port.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
) -> None:
    """Show a chapter in the browser while it is written: every save renders it, changed code runs again."""
    with errors():
        from kexue.press.site.preview import Preview, open_in_browser, serve

        book = book_of([chapter])
        if not book.chapters:
            raise typer.Exit(book.code)
        (found,) = book.chapters
        shown = Preview(book.root, chapter, book.store, profile=profile, device=device, tell=typer.echo)
        try:
            server = serve(shown, port)
            address = f"http://127.0.0.1:{server.server_port}/{found.docname}.html"
            typer.echo(f"{address} (Ctrl-C ends)")
            if browser:
                open_in_browser(address)
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
    with errors():
        from kexue.press.results.snapshot import edition
        from kexue.press.site.downloads import write_branch

        book = book_of(None)
        shown = edition(book.root, book.chapters, book.store, profile=profile, device=device)
        for path in write_branch(shown, folder):
            typer.echo(str(path))
    raise typer.Exit(book.code)


def _publish(book: Book, profile: str, device: str, strict: bool, pdf: bool = False) -> int:
    from kexue.press.results.snapshot import edition
    from kexue.press.site.build import publish as set_site

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
    with errors():
        ran = run_stale(book_of(chapters), profile, seeds, device, jobs, force, strict, cluster=cluster)
        published = _publish(book_of(None), profile, device, strict)
    raise typer.Exit(ran or published)


@app.command()
def freeze(
    chapter: Annotated[str, typer.Argument(help="The chapter.")],
    profile: ProfileOption = Profile.full,
    seeds: SeedsOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Put a chapter's measured claims on record, with their provenance, in results/ (to be committed)."""
    with errors():
        from kexue.press.results.record import freeze as put_on_record
        from kexue.press.store.plan import plan

        book = book_of([chapter])
        if not book.chapters:
            raise typer.Exit(book.code)
        (found,) = book.chapters
        found.seeds(profile)
        units: list[Unit] = plan(book.store, [found], profile=profile, device=device, seeds=seeds_of(seeds))
        typer.echo(str(put_on_record(found, units, profile, warn=lambda text: typer.echo(text, err=True))))


@app.command()
def new(
    chapter: Annotated[str, typer.Argument(help="The new chapter's name, kebab-case.")],
    part: Annotated[
        str,
        typer.Option(
            help="generative, language, optimisation, regularisation or architecture.", show_default=False
        ),
    ],
    subject: Annotated[
        str, typer.Option(help="The package of the library for its experiments; default: its name.")
    ] = "",
    title: Annotated[str, typer.Option(help="Its English title.")] = "",
    title_zh: Annotated[str, typer.Option("--title-zh", help="Its Chinese title.")] = "",
) -> None:
    """Make the skeleton of a chapter: a claim, a picture, its library module, their tests, a planted fault."""
    with errors():
        from kexue.press.project import find_root
        from kexue.press.sources.new import make_chapter

        made = make_chapter(find_root(), chapter, part=part, subject=subject, title=title, title_zh=title_zh)
        for path in made:
            typer.echo(str(path))


@app.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
) -> None:
    """Remove stored runs that no chapter asks for any more, and what interrupted commands left in the store."""
    with errors():
        from kexue.press.store.plan import plan

        book = book_of(None)
        if book.unreadable:
            raise ValueError(
                "some chapters cannot be read: what their runs are is not known; mend them first"
            )
        units = [
            unit
            for profile in Profile
            for device in (Device.cpu, Device.cuda)
            for unit in plan(book.store, book.chapters, profile=profile, device=device)
        ]
        old = book.store.superseded({unit.key for unit in units})
        for run in old:
            size = sum(path.stat().st_size for path in run.folder.iterdir()) / 1e6
            typer.echo(
                f"{run.manifest.chapter} · {run.manifest.profile} · seed {run.manifest.seed}: {size:.1f} MB"
            )
            if yes:
                book.store.remove(run)
        left = book.store.sweep() if yes else 0
        done = (
            f"removed, with {left} leftovers"
            if yes
            else "of older code or other settings; --yes removes them"
        )
        typer.echo(f"{len(old)} runs {done}")
