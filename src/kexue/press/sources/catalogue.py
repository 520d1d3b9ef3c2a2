"""Which chapters there are, in the order of the book."""

from __future__ import annotations

from pathlib import Path

from kexue.press.project import PressError, read_text
from kexue.press.sources.chapter import Chapter
from kexue.press.sources.front_matter import is_meant_for_a_chapter
from kexue.press.sources.toc import NAME, read_contents

PARTS = {
    "generative": "Generative models",
    "language": "Language",
    "optimisation": "Optimisation",
    "regularisation": "Regularisation",
    "architecture": "Architecture",
}


def catalogue(root: Path) -> tuple[Chapter, ...]:
    """The chapters that `_toc.yml` lists, in its order.

    What it does not list is no chapter: editors and file systems leave copies beside a text. One that cannot be read
    is among them, and says so when it is checked.

    Args:
        root: the book's folder.

    Raises:
        PressError: when the table of contents cannot be read.
    """
    chapters: list[Chapter] = []
    for name in dict.fromkeys(read_contents(root).documents()):
        path = root / f"{name}.md"
        if len(Path(name).parts) == 3 and name.startswith("book/") and _is_chapter(path):
            same = next((chapter for chapter in chapters if chapter.slug == path.stem), None)
            problem = f"two chapters are named {path.stem!r}: {same.path} and {path}" if same else ""
            chapters.append(Chapter(root, path, problem))
    return tuple(chapters)


def _is_chapter(path: Path) -> bool:
    """Whether a page is meant for a chapter; one that is there and cannot be read is told later, by its name."""
    if not (path.exists() or path.is_symlink()):
        return False
    try:
        return is_meant_for_a_chapter(read_text(path))
    except PressError:
        return True


def select(root: Path, slugs: list[str] | None) -> tuple[Chapter, ...]:
    """The chapters named, or all.

    Args:
        root: the book's folder.
        slugs: names of chapters; a path of a chapter will do, too.

    Raises:
        PressError: for a name that is no chapter; the message lists the chapters.
    """
    chapters = catalogue(root)
    if not slugs:
        return chapters
    known = {chapter.slug: chapter for chapter in reversed(chapters)}
    names = [Path(slug).stem if slug.endswith(".md") else slug for slug in slugs]
    unknown = [name for name in names if name not in known]
    if unknown:
        unlisted = [path for name in unknown for path in (root / "book").glob(f"*/{_literal(name)}.md")]
        hint = f" ({unlisted[0].relative_to(root)} is not listed in {NAME})" if unlisted else ""
        raise PressError(
            f"no chapter {', '.join(map(repr, unknown))}{hint}; the chapters are {', '.join(known) or '(none)'}"
        )
    return tuple(known[name] for name in dict.fromkeys(names))


def _literal(name: str) -> str:
    """A name as a pattern that matches nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
