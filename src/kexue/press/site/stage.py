"""The staging tree: the book as Sphinx reads it, made of the current text and the stored outputs.

Every chapter becomes one notebook: the cells of its `.md` as it stands, with the outputs of the stored run.
Where the library shows a claim or a verdict, the staged notebook holds a directive of `kexue.press.sphinx_ext.chapter_pages`, so
that the page shows what all replicates together say and not what the first one said.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kexue.press.project import read_yaml
from kexue.press.site.chapter import ChapterPage
from kexue.press.sources.catalogue import catalogue
from kexue.press.sources.front_matter import is_meant_for_a_chapter
from kexue.press.sources.toc import read_contents
from kexue.press.sphinx_ext.i18n import label_rules
from kexue.press.sphinx_ext.library_pages import write_pages

if TYPE_CHECKING:
    from kexue.press.results.snapshot import Edition
    from kexue.press.sphinx_ext.staged import Addresses, SiteData


def stage(edition: Edition, data: SiteData, folder: Path, *, current: bool = False) -> tuple[str, ...]:
    """Write the staging tree.

    Args:
        edition: what to publish.
        data: what the pages show, from `kexue.press.site.data`; completed here with what only staging knows.
        folder: an empty folder to write into.
        current: whether a chapter whose code has changed shows its present text rather than that of its last run.

    Returns:
        What is wrong with the chapters' pages, as sentences.
    """
    never = shutil.ignore_patterns(".*", "__pycache__", "*.ipynb")
    shutil.copytree(edition.root / "book", folder / "book", ignore=never)
    texts = [f"{chapter.docname}.md" for chapter in catalogue(edition.root)]
    _write_config(edition.root, data["addresses"], folder, texts)
    problems = list(_write_toc(edition, folder, texts, write_pages(data.get("reference") or [], folder)))
    for chapter, shown in zip(edition.chapters, data["chapters"], strict=True):
        page = ChapterPage(chapter, shown["state"], current=current)
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


def _write_config(root: Path, home: Addresses, folder: Path, texts: list[str]) -> None:
    """The configuration, with the public addresses that hold for this edition.

    The chapters' own texts lie beside their notebooks and are no pages: whatever form a link to one has, MyST finds there
    the document that it means.
    """
    config = read_yaml(root / "_config.yml")
    config["repository"] = {**(config.get("repository") or {}), "url": home["repository"]}
    config["html"] = {**(config.get("html") or {}), "baseurl": home["site"]}
    config["exclude_patterns"] = [*(config.get("exclude_patterns") or ()), *map(glob.escape, texts)]
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (folder / "_config.yml").write_text(text, encoding="utf-8")


def _write_toc(
    edition: Edition, folder: Path, texts: list[str], library: list[dict[str, Any]]
) -> Iterator[str]:
    """The table of contents, with the library and without what does not exist: empty parts, chapters not yet written."""
    documents = read_contents(edition.root).documents()  # which says what is wrong with its form
    toc = read_yaml(edition.root / "_toc.yml")
    parts = [{"chapters": toc.pop("chapters", None)}, *(toc.pop("parts", None) or ())]
    there = {chapter.chapter.docname for chapter in edition.chapters}
    pages = {name for name in documents if f"{name}.md" not in texts and (folder / f"{name}.md").is_file()}
    missing = [name for name in documents if name not in there | pages]
    toc["root"] = documents[0]
    links = [link for part in parts for link in _links(part.get("chapters"))]
    for part in parts:
        part["chapters"] = _without(part.get("chapters"), missing)
    toc["parts"] = [part for part in parts if part["chapters"]]
    if library:
        toc["parts"].append({"caption": "Library", "chapters": library})
    yield from (f"_toc.yml lists {name}, which is no page; it is left out" for name in missing)
    yield from (f"_toc.yml lists the link {link}; the menu has pages of the book only" for link in links)
    yield from (
        f"{name} is not listed in _toc.yml and has no page" for name in _unlisted(edition.root, documents)
    )
    text = yaml.safe_dump(toc, allow_unicode=True, sort_keys=False)
    (folder / "_toc.yml").write_text(text, encoding="utf-8")


def _unlisted(root: Path, documents: Collection[str]) -> Iterator[str]:
    """The texts meant for chapters that the table of contents does not list."""
    for path in sorted((root / "book").glob("*/[!.]*.md")):
        name = path.relative_to(root).with_suffix("").as_posix()
        if (
            name not in documents
            and path.is_file()
            and is_meant_for_a_chapter(path.read_text("utf-8", "replace"))
        ):
            yield name


def _links(entries: list[dict[str, Any]] | None) -> Iterator[str]:
    for entry in entries or ():
        if "url" in entry:
            yield str(entry["url"])
        yield from _links(entry.get("sections"))


def _without(entries: list[dict[str, Any]] | None, missing: list[str]) -> list[dict[str, Any]]:
    """Entries of the table of contents but those that are missing; what is below one of these moves up."""
    kept: list[dict[str, Any]] = []
    for entry in entries or ():
        own = {key: value for key, value in entry.items() if key != "sections"}
        below = _without(entry.get("sections"), missing)
        if "file" in own:
            own["file"] = str(own["file"]).removesuffix(".md")  # a chapter's file is its notebook by now
        if own.get("file") in missing:
            kept += below
        else:
            kept.append({**own, **({"sections": below} if below else {})})
    return kept
