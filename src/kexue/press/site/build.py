"""Stored runs become a site: stage, render beside the old site, swap. Nothing changed means nothing is done.

A site is exactly what one edition renders to: it is replaced whole or not at all, its files are checked by
hash, and two renderings of one edition have the same bytes.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from kexue.press.project import PressError, write_text
from kexue.press.site.data import mistakes, site_data
from kexue.press.site.kept import Kept

if TYPE_CHECKING:
    from kexue.press.results.snapshot import Edition
    from kexue.press.sphinx_ext.staged import SiteData

_TOOLS = (
    "jupyter-book",
    "sphinx",
    "docutils",
    "myst-nb",
    "myst-parser",
    "jupytext",
    "mdformat",
    "jieba",
    "mini-racer",
    "pygments",
    "sphinx-book-theme",
    "pydata-sphinx-theme",
    "sphinx-copybutton",
    "sphinx-design",
    "sphinx-external-toc",
    "sphinx-sitemap",
    "sphinx-togglebutton",
    "sphinxext-opengraph",
)
_LOG_TAIL = 40
_RENDER_LIMIT = 1800.0  # seconds; a book of 200 chapters takes one minute
_STAGED = re.compile(r"(book/[^\s:]+)\.ipynb:")  # a staged notebook keeps the lines of its chapter's text
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class PublishError(PressError):
    """The site could not be rendered; the message ends with the tail of the log. The old site stands."""


@dataclass(frozen=True)
class PublishReport:
    """What `publish` did.

    Args:
        skipped: whether the site was already the one asked for.
        pages: the number of HTML pages of the site.
        seconds: what it took.
        problems: what a reader of the site should not have to meet: stale, failed or unexecuted chapters,
            verdicts that differ from the record, figures without alt text, names that stand for nothing.
    """

    skipped: bool
    pages: int
    seconds: float
    problems: tuple[str, ...]


def publish(edition: Edition, destination: Path | None = None, *, pdf: bool = False) -> PublishReport:
    """Render an edition of the book as a site.

    Args:
        edition: the chapters with their stored runs and pooled claims.
        destination: the folder of the site; `_build/html` of the book if None.
        pdf: whether the site offers the book as one PDF, too (wants a Chromium).

    Returns:
        What was done and what is wrong with the content.

    Raises:
        PublishError: when Sphinx fails or warns. The old site stays as it was.
    """
    began = time.perf_counter()
    target = destination or edition.root / "_build" / "html"
    target.parent.mkdir(parents=True, exist_ok=True)
    data = site_data(edition)
    data["pdf"] = pdf
    digest = _digest(edition, data)
    with FileLock(target.with_name(f"{target.name}.lock")):
        _finish_swap(target)
        manifest = _verified_manifest(target, digest)
        if manifest is not None:
            return _report(manifest, skipped=True, began=began)
        problems = mistakes(edition, data)
        for leftover in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as side:
            html, more = _render(edition, data, target, Path(side))
            manifest = {"digest": digest, "problems": [*problems, *more], "files": dict(_hashes(html))}
            _swap(html, target)
        write_text(_manifest_of(target), json.dumps(manifest, indent=1, sort_keys=True))
    return _report(manifest, skipped=False, began=began)


def _render(edition: Edition, data: SiteData, target: Path, side: Path) -> tuple[Path, tuple[str, ...]]:
    from kexue.press.site.api import library
    from kexue.press.site.downloads import place_downloads
    from kexue.press.site.offline import write_archive, write_pdf
    from kexue.press.site.stage import stage
    from kexue.press.sources.toc import read_contents

    source = side / "source"
    source.mkdir()
    data["reference"] = library(edition.root, [chapter.chapter for chapter in edition.chapters])
    problems = stage(edition, data, source)
    kept = Kept(side.parent / f".kept-{target.name}")
    if data["addresses"]["site"]:
        kept.forget()  # a site map lists the pages of one rendering
    state = kept.take(source, data, _tools())
    try:
        _run_renderer(kept)
        kept.finish(state)
    except BaseException:
        kept.forget()
        raise
    html = side / "html"
    shutil.copytree(kept.html, html, ignore=shutil.ignore_patterns(".buildinfo", "reports"))
    problems += place_downloads(edition, html)
    if data["pdf"]:
        pages = read_contents(source).documents()
        write_pdf(html, [name for name in pages if not name.startswith("book/library/")])
    write_archive(html)
    return html, problems


def _run_renderer(kept: Kept) -> None:
    """Sphinx in a process of its own, under a time limit."""
    module = [
        sys.executable,
        "-P",
        "-m",
        "kexue.press.site.render",
    ]  # -P: no file of the working folder is a module
    command = [*module, *map(str, (kept.source, kept.html, kept.doctrees))]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    environment.pop("SOURCE_DATE_EPOCH", None)  # Sphinx would write its year into the copyright line
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_RENDER_LIMIT,
        )
    except subprocess.TimeoutExpired as late:
        raise PublishError(
            f"the site was not rendered within {_RENDER_LIMIT:g} s, and the renderer was ended; the old one stands"
        ) from late
    if done.returncode != 0 or not (kept.html / "index.html").is_file():
        log = telling(done.stdout, kept.source)
        raise PublishError(
            f"the site could not be rendered (status {done.returncode}); the old one stands:\n{log}"
        )


def telling(log: str, source: Path) -> str:
    """The warnings and errors of a build log, or its tail where it has none, with places in the book's own files."""
    log = _STAGED.sub(r"\1.md:", log.replace(f"{source}/", ""))
    lines = [_COLOUR.sub("", line) for line in log.strip().split("\n")]
    telling = [line for line in lines if re.search(r"WARNING|ERROR|CRITICAL|Error:|Exception", line)]
    return "\n".join((telling or lines)[-_LOG_TAIL:])


def _tools() -> str:
    """A digest of the libraries and of the press's own code, taken without importing what renders."""
    digest = hashlib.sha256()
    for name in _TOOLS:
        digest.update(f"{name} {_version(name)}\n".encode())
    press = Path(__file__).parents[1]
    code = [path for path in press.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    code += press.with_name("claims").rglob("*.py")
    for path in sorted(code):
        digest.update(f"\n{path.relative_to(press.parent)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(edition: Edition, data: SiteData) -> str:
    """A digest of everything the site depends on."""
    digest = hashlib.sha256(_tools().encode())
    digest.update(json.dumps(data, sort_keys=True, default=str).encode())
    for chapter in edition.chapters:
        digest.update(chapter.chapter.source.encode())
        cells = chapter.notebook["cells"] if chapter.notebook is not None else None
        digest.update(json.dumps(cells, sort_keys=True).encode())
        digest.update(str(chapter.chapter.key_figure).encode())
    own = [path for path in (edition.root / "book").rglob("*") if path.is_file()]
    library = (edition.root / "src" / "kexue").rglob("*.py")
    for path in sorted([*own, *library, edition.root / "_config.yml", edition.root / "_toc.yml"]):
        digest.update(f"\n{path.relative_to(edition.root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def _hashes(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*")):
        if path.is_file():
            yield path.relative_to(site).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def _manifest_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.manifest.json")


def _verified_manifest(target: Path, digest: str) -> dict[str, Any] | None:
    """The manifest of the site that stands, if it is the wanted one and every file is as it was written."""
    try:
        manifest: dict[str, Any] = json.loads(_manifest_of(target).read_text(encoding="utf-8"))
        wanted = manifest["digest"] == digest and manifest["files"] == dict(_hashes(target))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if wanted else None


def _swap(html: Path, target: Path) -> None:
    """Put the new site in the old one's place, in one step where the system can, so that no reader finds none.

    Where it cannot, `_finish_swap` repairs a swap that was cut in the middle.
    """
    if target.exists() and _exchange(html, target):
        return
    old = _old_of(target)
    if target.exists():
        target.rename(old)
    html.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; whether the system could (Linux, on most file systems)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _finish_swap(target: Path) -> None:
    old = _old_of(target)
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _old_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.old")


def _report(manifest: dict[str, Any], *, skipped: bool, began: float) -> PublishReport:
    pages = sum(name.endswith(".html") for name in manifest["files"])
    return PublishReport(skipped, pages, time.perf_counter() - began, tuple(manifest["problems"]))
