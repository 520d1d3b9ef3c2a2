"""Which verdicts of a profile's stored runs are not those on record, by chapter: Markdown, for the summary of a job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from kexue.claims.pool import tally
from kexue.press.project import find_root, store_folder
from kexue.press.results.snapshot import ChapterEdition, edition
from kexue.press.sources.catalogue import catalogue
from kexue.press.store.store import Store


def table(chapters: Iterable[ChapterEdition]) -> str:
    """A row a chapter, and below it what differs."""
    lines = ["| chapter | state | verdicts | other than on record |", "|---|---|---|---|"]
    details = []
    for chapter in chapters:
        slug, differs = chapter.chapter.slug, [*chapter.differences, *chapter.problems]
        verdicts = ", ".join(
            f"{count} {verdict}" for verdict, count in tally(chapter.claims).items() if count
        )
        lines.append(f"| {slug} | {chapter.state} | {verdicts} | {len(differs) or ''} |")
        details += [f"* {slug}: {text}" for text in differs]
    return "\n".join([*lines, "", *(details or ["Every verdict is the one on record."])]) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=("smoke", "quick", "full"))
    root = find_root()
    store = Store(store_folder(root))
    shown = edition(root, catalogue(root), store, profile=parser.parse_args().profile, device="auto")
    sys.stdout.write(table(shown.chapters))


if __name__ == "__main__":
    main()
