"""The staged data: what is in `_kexue/site.json`, and what a page sees of it under which address.

The types are the contract between `kexue.press.site`, which writes the file, and the directives, which read it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from kexue.claims.row import Row as Claimed

if TYPE_CHECKING:
    from sphinx.application import Sphinx


OFFLINE_NAME = "kexue-executed"  # of the site as one zip, and of the book as one PDF


class Row(Claimed):
    """A claim of a chapter with what all its replicates together say."""

    statement_zh: str
    chapter: NotRequired[str]
    seeds: NotRequired[list[int]]
    seeds_wanted: NotRequired[int]
    stale: NotRequired[bool]
    run: NotRequired[list[str]]


class Host(TypedDict, total=False):
    """The machine of a run."""

    cpu: str
    cores: int
    gpu: str | None


class Run(TypedDict, total=False):
    """What a run has recorded of itself; an older one may lack any of it."""

    key: str
    profile: str
    seed: int
    device: str
    started: str
    seconds: float
    cpu_seconds: float
    cell_seconds: list[float]
    commit: str | None
    dirty: bool
    versions: dict[str, str]
    peak_rss_mb: float | None
    peak_gpu_mb: float | None
    parameters: dict[str, Any]
    host: Host


class Record(TypedDict):
    """What was measured at one profile and put on record."""

    code: NotRequired[str]
    claims: list[Row]
    provenance: list[Run]
    older_code: bool


class Article(TypedDict):
    """The article of a chapter."""

    title: str
    date: NotRequired[str]
    url: NotRequired[str]


class Paper(TypedDict):
    """A paper behind it."""

    title: str
    authors: NotRequired[str]
    venue: NotRequired[str]
    url: NotRequired[str]


class SlowCell(TypedDict):
    """One of the cells that took longest."""

    number: int
    of: int
    line: str
    seconds: float
    share: float


class Chapter(TypedDict):
    """A chapter as its pages show it."""

    slug: str
    part: str
    part_title: str
    docname: str
    title: str
    title_zh: str
    article: Article
    papers: list[Paper]
    summary: str
    summary_zh: str
    profiles: list[str]
    data: list[str]
    profile: str
    state: str  # "fresh", "stale", "failed" or "never run"
    reasons: list[str]
    differences: list[str]
    runs: list[Run]
    seeds_wanted: int
    claims: list[Row]
    frozen: dict[str, Record]  # by profile
    slowest: list[SlowCell]
    measured_at: NotRequired[list[str]]  # the claims measured on the page; staging knows them
    thumbnail: NotRequired[str]  # the key figure's file in `_static/figures`, or ""; staging writes it


class Excerpt(TypedDict):
    """A piece of the library's source."""

    path: str
    line: int
    source: str


class DataSet(TypedDict):
    """A data set that some chapter reads."""

    title: str
    source: str
    licence: str
    digest: str


class Benchmark(TypedDict):
    """A recorded benchmark."""

    benchmark: str
    machine: str
    when: str
    commit: str
    columns: list[str]
    rows: list[list[str | float | bool | None]]


class Addresses(TypedDict):
    """The book's public addresses; "" for what it does not have."""

    repository: str
    site: str
    commit: str


class Section(TypedDict):
    """A section of a docstring: text, or pairs of name and description."""

    title: str
    text: str
    items: list[tuple[str, str]]


class Member(TypedDict):
    """A method or property of a class."""

    name: str
    sections: list[Section]
    property: bool


class Object(TypedDict):
    """A public function or class of a module."""

    name: str
    kind: str
    line: int
    signature: str
    sections: list[Section]
    members: list[Member]


class Module(TypedDict):
    """A public module of the library; `chapters` are the slugs of those that use it."""

    name: str
    path: str
    text: str
    objects: list[Object]
    chapters: list[str]


class SiteData(TypedDict):
    """All of it."""

    chapters: list[Chapter]
    library: dict[str, Excerpt]  # by dotted name
    data: dict[str, DataSet]
    addresses: Addresses
    benchmarks: list[Benchmark]
    pdf: NotRequired[bool]
    reference: NotRequired[list[Module]]


def _read(path: Path) -> SiteData:
    """The staged data, read once for all the directives of all the pages."""
    return _parsed(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _parsed(path: str, _written: int) -> SiteData:
    data: SiteData = json.loads(Path(path).read_text(encoding="utf-8"))
    return data


class Site:
    """The staged data, and the addresses of what it speaks of as seen from one page."""

    def __init__(self, app: Sphinx, docname: str) -> None:
        self._app, self._docname = app, docname
        self.data = _read(Path(app.srcdir) / "_kexue" / "site.json")
        self.chapters = self.data["chapters"]
        self.chapter = next((c for c in self.chapters if c["docname"] == docname), None)

    @property
    def rows(self) -> list[Row]:
        """Every claim of the book."""
        return [row for chapter in self.chapters for row in chapter["claims"]]

    @property
    def modules(self) -> list[Module]:
        """The library's modules that have a page."""
        return self.data["reference"]

    @property
    def root(self) -> str:
        """The way up to the root of the site."""
        return "../" * self._docname.count("/")

    def page(self, docname: str) -> str:
        """The address of another page."""
        return self._app.builder.get_relative_uri(self._docname, docname)

    def static(self, name: str) -> str:
        """The address of a file of `book/_static`."""
        return f"{self.root}_static/{name}"

    def claim(self, slug: str, claim: str) -> str:
        """The address of the place where a claim is measured; of its chapter if it is measured nowhere."""
        chapter = next(c for c in self.chapters if c["slug"] == slug)
        anchor = f"#claim-{claim}" if claim in chapter["measured_at"] else ""
        return anchor if anchor and chapter is self.chapter else self.page(chapter["docname"]) + anchor

    def commit(self, commit: str) -> str:
        """The address of a commit in the repository, or "" if the book names no repository."""
        url = self.data["addresses"]["repository"]
        return f"{url}/commit/{commit}" if url else ""

    def source(self, path: str, line: int, commit: str) -> str:
        """The address of a line of the library in the repository, or "" if the book names no repository."""
        home = self.data["addresses"]
        url, at = home["repository"], commit or home["commit"] or "main"
        return f"{url}/blob/{at}/{path}#L{line}" if url else ""
