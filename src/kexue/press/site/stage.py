"""The staging tree: the book as Sphinx reads it, made of the current text and the stored outputs.

Every chapter becomes one notebook: the cells of its `.md` as it stands, with the outputs of the stored run.
Where the library shows a claim or a verdict, the staged notebook holds a directive of `kexue.press.sphinx_ext.chapter_pages`, so
that the page shows what all replicates together say and not what the first one said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kexue.press.site.chapter import ChapterPage
from kexue.press.sphinx_ext.i18n import label_rules
from kexue.press.sphinx_ext.library_pages import write_pages

if TYPE_CHECKING:
    from kexue.press.results.snapshot import Edition


def stage(edition: Edition, data: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """Write the staging tree.

    Args:
        edition: what to publish.
        data: what the pages show, from `kexue.press.site.data`; completed here with what only staging knows.
        folder: an empty folder to write into.

    Returns:
        What is wrong with the chapters' pages, as sentences.
    """
    pages, never = edition.root / "book", shutil.ignore_patterns(".*", "__pycache__", "*.ipynb")

    def left_out(directory: str, names: list[str]) -> set[str]:
        chapters = {name for name in names if name.endswith(".md") and Path(directory) != pages}
        return never(directory, names) | chapters

    shutil.copytree(pages, folder / "book", ignore=left_out)
    _write_config(edition.root, data["addresses"], folder)
    problems = list(_write_toc(edition, folder, write_pages(data["reference"], folder)))
    for chapter, shown in zip(edition.chapters, data["chapters"], strict=True):
        page = ChapterPage(chapter, shown["state"])
        target = folder / f"{chapter.chapter.docname}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(page.notebook, ensure_ascii=False, indent=1), encoding="utf-8")
        shown["measured_at"] = page.measured
        shown["thumbnail"] = page.write_thumbnail(folder / "book" / "_static" / "figures")
        problems += page.problems
    (folder / "_kexue" / "static").mkdir(parents=True)
    (folder / "_kexue" / "static" / "kexue-words.css").write_text(label_rules(), encoding="utf-8")
    (folder / "_kexue" / "site.json").write_text(
        json.dumps(data, ensure_ascii=False, sort_keys=True), encoding="utf-8"
    )
    return tuple(problems)


def _write_config(root: Path, home: dict[str, str], folder: Path) -> None:
    """The configuration, with the public addresses that hold for this edition."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")) or {}
    config["repository"] = {**(config.get("repository") or {}), "url": home["repository"]}
    config["html"] = {**(config.get("html") or {}), "baseurl": home["site"]}
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (folder / "_config.yml").write_text(text, encoding="utf-8")


def _write_toc(edition: Edition, folder: Path, library: list[dict[str, Any]]) -> Iterator[str]:
    """The table of contents, with the library and without what does not exist: empty parts, chapters not yet written."""
    toc = yaml.safe_load((edition.root / "_toc.yml").read_text(encoding="utf-8"))
    there = {chapter.chapter.docname for chapter in edition.chapters}
    listed = {toc["root"]}
    for part in toc.get("parts", ()):
        kept = []
        for entry in part.get("chapters") or ():
            name = entry["file"].removesuffix(".md")
            listed.add(name)
            if name in there or (folder / f"{name}.md").is_file():
                kept.append(entry)
            else:
                yield f"_toc.yml lists {name}, which is no page; it is left out"
        part["chapters"] = kept
    toc["parts"] = [part for part in toc.get("parts", ()) if part["chapters"]]
    if library:
        toc["parts"].append({"caption": "Library", "chapters": library})
    yield from (f"{name} is not listed in _toc.yml and has no page" for name in sorted(there - listed))
    (folder / "_toc.yml").write_text(
        yaml.safe_dump(toc, allow_unicode=True, sort_keys=False), encoding="utf-8"
    )
