"""What the site's pages show, as plain data: all of it is known before anything is rendered."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from kexue.data import registry
from kexue.press.project import addresses
from kexue.press.results.benchmarks import benchmark_problems, benchmarks
from kexue.press.results.record import orphans
from kexue.press.site.excerpt import excerpt
from kexue.press.site.places import without_places
from kexue.press.sources.catalogue import PARTS, catalogue

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition, Edition
    from kexue.press.sphinx_ext.staged import (
        Addresses,
        Article,
        Benchmark,
        Chapter,
        DataSet,
        Paper,
        Record,
        Row,
        Run,
        SiteData,
        SlowCell,
    )

_LIBRARY = re.compile(r"^[`:]{3,}\{library\}\s+(\S+)", re.MULTILINE)
_ABSTRACT = re.compile(
    r"^(?P<fence>[`:]{3,})\{article-box\}\n(?P<text>.*?)^(?P=fence)", re.MULTILINE | re.DOTALL
)
_REASONS = 3
_SLOWEST = 3
_SIGNS = {
    "in": "∈",
    "int": "∫",
    "sum": "∑",
    "infty": "∞",
    "leq?": "≤",
    "geq?": "≥",
    "neq": "≠",
    "approx": "≈",
    "times": "×",
    "sqrt": "√",
    "alpha": "α",
    "beta": "β",
    "chi": "χ",
    "epsilon": "ε",
    "lambda": "λ",
    "mu": "μ",
    "sigma": "σ",
    "tau": "τ",
    "theta": "θ",
}
_NAMED_CLAIM = re.compile(r"\{(?:verdict|measured)\}`([^`]+)`")


def site_data(edition: Edition) -> SiteData:
    """Everything the roles and directives need, ready for JSON; no path of this machine is in it."""
    asked = sorted(
        {name for chapter in edition.chapters for text in _texts(chapter) for name in _LIBRARY.findall(text)}
    )
    library = {name: found for name in asked if (found := excerpt(edition.root, name)) is not None}
    return {
        "chapters": [_chapter(chapter) for chapter in edition.chapters],
        "library": library,
        "data": _data_sets(edition),
        "addresses": cast("Addresses", asdict(addresses(edition.root))),
        "benchmarks": cast("list[Benchmark]", benchmarks(edition.root)),
    }


def mistakes(edition: Edition, data: SiteData) -> tuple[str, ...]:
    """Names in the chapters' texts that stand for nothing, and what is not as it should be with the runs."""
    found: list[str] = []
    for chapter in edition.chapters:
        slug, source = chapter.chapter.slug, chapter.chapter.source
        if chapter.state != "fresh":
            found.append("; ".join([f"{slug} is {chapter.state}", *_reasons(chapter)]))
        found += [f"{slug}: {wrong}" for wrong in (*chapter.differences, *chapter.problems)]
        known = {row["id"] for row in chapter.claims}
        unknown = sorted(set(_NAMED_CLAIM.findall(source)) - known)
        found += [
            f"{slug}: the text names the claim {name!r}, which the chapter does not declare"
            for name in unknown
        ]
        labels = {found for cell in chapter.chapter.notebook.cells for found in _labels(cell)}
        key = chapter.chapter.key_figure
        if key and key not in labels:
            found.append(
                f"{slug}: `kexue.key_figure` is {key!r}, but the figures are {', '.join(sorted(labels)) or 'none'}"
            )
        missing = sorted(set(_LIBRARY.findall(source)) - set(data["library"]))
        found += [f"{slug}: the text shows {name}, which is not in src/" for name in missing]
    found += benchmark_problems(edition.root)
    left = orphans(edition.root, (chapter.slug for chapter in catalogue(edition.root)))
    found += [f"results/{path.name} is the record of no chapter; remove or rename it" for path in left]
    return tuple(found)


def _labels(cell: Any) -> set[str]:
    """The names that a figure's cell has."""
    figure = cell.metadata.get("mystnb", {}).get("figure") or {}
    return {name for name in (cell.metadata.get("label"), figure.get("name")) if name}


def _data_sets(edition: Edition) -> dict[str, DataSet]:
    """The registered data sets that any chapter reads."""
    read = {name for chapter in edition.chapters for name in chapter.chapter.data}
    return {
        name: {"title": found.title, "source": found.source, "licence": found.licence, "digest": found.digest}
        for name, found in sorted(registry().items())
        if name in read
    }


def _reasons(edition: ChapterEdition) -> list[str]:
    """The first reasons for a chapter's state, and where to see the others."""
    root = edition.chapter.root
    reasons = [without_places(reason, root) for reason in edition.reasons if reason != edition.state]
    rest = len(reasons) - _REASONS
    more = [f"and {rest} more: kexue why {edition.chapter.slug}"] if rest > 0 else []
    return reasons[:_REASONS] + more


def _texts(chapter: ChapterEdition) -> list[str]:
    """The current text, and that of the stored run: either may end up on the page."""
    cells = chapter.notebook["cells"] if chapter.notebook is not None else []
    return [chapter.chapter.source, *("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")]


def _abstract(source: str) -> str:
    """The chapter's 摘要 without its mark-up, short formulas as plain text."""
    found = _ABSTRACT.search(source)
    text = " ".join(found["text"].split()) if found else ""
    return re.sub(r"\{[\w:]+\}|[`*]", "", re.sub(r"\$([^$]+)\$", lambda tex: plain_formula(tex[1]), text))


def plain_formula(tex: str) -> str:
    """A short formula as a line of text: "n > 8.33\\log N" as "n > 8.33 log N"."""
    for command, sign in _SIGNS.items():
        tex = re.sub(rf"\\{command}(?![a-zA-Z])\s*", sign, tex)
    tex = re.sub(r"\\(?:mathbb|mathcal|mathrm|text|operatorname)\{(\w+)\}", r"\1", tex)
    tex = re.sub(r"\\bar\s*\{?(\w)\}?", "\\1\u0304", tex)
    tex = re.sub(r"\^\{?([0-9])\}?", lambda power: "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(power[1])], tex)
    tex = re.sub(r"_\{?([0-9])\}?", lambda index: "₀₁₂₃₄₅₆₇₈₉"[int(index[1])], tex)
    tex = re.sub(r"\\[,;:!]", "", tex)
    return re.sub(r"(\w?)\\([a-zA-Z]+)", lambda name: f"{name[1]} {name[2]}".lstrip(), tex)


def slowest_cells(edition: ChapterEdition) -> list[SlowCell]:
    """The cells that took longest, by their first line: mean seconds over the runs, share of all the cells.

    Runs that did not record the times of their cells, or those of other cells than are shown, do not count.
    """
    if edition.notebook is None:
        return []
    code = ["".join(cell["source"]) for cell in edition.notebook["cells"] if cell["cell_type"] == "code"]
    runs = [times for run in edition.runs if len(times := run.get("cell_seconds") or ()) == len(code)]
    mean = [sum(times) / len(runs) for times in zip(*runs, strict=True)]
    order = sorted(range(len(mean)), key=lambda index: -mean[index])[:_SLOWEST]
    total = sum(mean) or 1.0
    return [
        {
            "number": index + 1,
            "of": len(code),
            "line": headline(code[index]),
            "seconds": mean[index],
            "share": mean[index] / total,
        }
        for index in order
    ]


def headline(source: str) -> str:
    """The first line of code that is neither blank, comment nor import; the first line if there is none."""
    lines = [line.strip() for line in source.split("\n") if line.strip()]
    telling = [line for line in lines if not re.match(r"#|import |from ", line)]
    return (telling or lines or [""])[0]


def _chapter(edition: ChapterEdition) -> Chapter:
    chapter = edition.chapter
    return {
        "slug": chapter.slug,
        "part": chapter.part,
        "part_title": PARTS.get(chapter.part, chapter.part),
        "docname": chapter.docname,
        "title": chapter.title,
        "title_zh": chapter.title_zh,
        "article": cast("Article", dict(chapter.article)),
        "papers": [cast("Paper", dict(paper)) for paper in chapter.papers],
        "summary": chapter.summary,
        "summary_zh": _abstract(chapter.source),
        "profiles": list(chapter.profiles),
        "data": list(chapter.data),
        "profile": edition.profile,
        "state": edition.state,
        "reasons": _reasons(edition),
        "differences": list(edition.differences),
        "runs": cast("list[Run]", list(edition.runs)),
        "seeds_wanted": edition.seeds_wanted,
        "claims": cast("list[Row]", list(edition.claims)),
        "frozen": cast("dict[str, Record]", edition.frozen or {}),
        "slowest": slowest_cells(edition),
    }
