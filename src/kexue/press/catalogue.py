"""Which chapters there are, and what each says of itself in its front matter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from kexue.claims import PROFILES, Claim
from kexue.data import registry
from kexue.press.cells import CodeCell, assigned_names, imported_names, parse, read_code_cells
from kexue.press.claimscell import claims_of
from kexue.press.root import PressError
from kexue.press.translation import read_statements

PARTS = {
    "generative": "Generative models",
    "language": "Language",
    "optimisation": "Optimisation",
    "regularisation": "Regularisation",
    "architecture": "Architecture",
}
NEEDS = ("gpus", "gpu_memory_gb", "memory_gb")
CLAIMS_TAG = "claims"  # of the cell that declares the claims
PARAMETERS = ("profile", "seed", "device")


@dataclass(frozen=True)
class Chapter:
    """One chapter: a jupytext MyST file `book/<part>/<slug>.md` whose front matter has a `kexue` mapping.

    Args:
        root: the book's folder.
        path: the chapter's file.
    """

    root: Path
    path: Path

    @property
    def slug(self) -> str:
        """The chapter's name: its file name without ending."""
        return self.path.stem

    @property
    def part(self) -> str:
        """The part of the book: the name of its folder."""
        return self.path.parent.name

    @property
    def docname(self) -> str:
        """The chapter as Sphinx names it, such as "book/language/leaderboard"."""
        return self.path.relative_to(self.root).with_suffix("").as_posix()

    @cached_property
    def source(self) -> str:
        """The text of the chapter."""
        return self.path.read_text(encoding="utf-8-sig")

    @cached_property
    def front_matter(self) -> dict[str, Any]:
        """The `kexue` mapping of the front matter.

        Raises:
            PressError: when a field is missing or not what it should be.
        """
        try:
            matter = _front_matter(self.source).get("kexue")
        except yaml.YAMLError as error:
            raise PressError(f"{self.path}: the front matter is no YAML: {error}") from error
        if not isinstance(matter, dict):
            raise PressError(f"{self.path}: the front matter must hold a mapping `kexue`")
        for field in ("title", "title_zh", "article", "profiles"):
            if field not in matter:
                raise PressError(f"{self.path}: `kexue.{field}` is missing from the front matter")
        if not all(isinstance(matter["article"].get(key), str) for key in ("title", "date", "url")):
            raise PressError(
                f'{self.path}: `kexue.article` must hold title, date and url as strings; quote the date ("2021-12-04"), '
                "for a notebook cannot hold a bare YAML date"
            )
        unknown = set(matter["profiles"]) - set(PROFILES)
        if unknown or not matter["profiles"]:
            raise PressError(
                f"{self.path}: `kexue.profiles` must map some of {', '.join(PROFILES)}; got {sorted(matter['profiles'])}"
            )
        for profile, settings in matter["profiles"].items():
            seeds = settings.get("seeds") if isinstance(settings, dict) else None
            if not isinstance(seeds, int) or seeds < 1:
                raise PressError(
                    f"{self.path}: `kexue.profiles.{profile}.seeds` must be an integer ≥ 1, got {seeds!r}"
                )
            for need in NEEDS:
                amount = settings.get(need, 0)
                if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
                    raise PressError(
                        f"{self.path}: `kexue.profiles.{profile}.{need}` must be a number ≥ 0, got {amount!r}"
                    )
        return matter

    @property
    def title(self) -> str:
        """The short English title."""
        return str(self.front_matter["title"])

    @property
    def title_zh(self) -> str:
        """The short Chinese title."""
        return str(self.front_matter["title_zh"])

    @property
    def article(self) -> dict[str, Any]:
        """The article: title, date, url."""
        return dict(self.front_matter["article"])

    @property
    def papers(self) -> list[dict[str, Any]]:
        """The papers behind the article."""
        paper = self.front_matter.get("paper") or []
        return [paper] if isinstance(paper, dict) else list(paper)

    @property
    def summary(self) -> str:
        """One sentence for the chapter's card."""
        return str(self.front_matter.get("summary", ""))

    @property
    def key_figure(self) -> str | None:
        """The label of the figure that carries the result."""
        return self.front_matter.get("key_figure")

    @property
    def profiles(self) -> dict[str, dict[str, Any]]:
        """The settings of each profile the chapter has; `seeds` is how many replicates it takes."""
        return {
            name: self.front_matter["profiles"][name]
            for name in PROFILES
            if name in self.front_matter["profiles"]
        }

    @property
    def data(self) -> list[str]:
        """The registered data sets the chapter reads."""
        return list(self.front_matter.get("data") or [])

    def limit(self, which: str, profile: str) -> float:
        """The time limit in seconds of a "cell" or of the whole "chapter"; a profile may have its own."""
        default = {"cell": 600.0, "chapter": 3600.0}[which]
        limits = {**(self.front_matter.get("limits") or {}), **(self.profiles[profile].get("limits") or {})}
        return float(limits.get(which, default))

    def need(self, what: str, profile: str) -> float:
        """How much a run needs of "gpus" (below 1: so many fit on one), "gpu_memory_gb" or "memory_gb"; 0: no matter."""
        return float(self.profiles[profile].get(what, 0))

    def seeds(self, profile: str) -> int:
        """How many replicates `profile` takes.

        Raises:
            PressError: when the chapter has no such profile.
        """
        if profile not in self.profiles:
            raise PressError(
                f"chapter {self.slug!r} has no profile {str(profile)!r}; it has {', '.join(self.profiles)}"
            )
        return int(self.profiles[profile]["seeds"])

    @cached_property
    def notebook(self) -> Any:
        """The chapter as a notebook (nbformat), by jupytext."""
        import jupytext

        return jupytext.reads(self.source, fmt="md:myst")

    @cached_property
    def code_cells(self) -> tuple[CodeCell, ...]:
        """The code cells in order, as `read_code_cells` finds them."""
        return tuple(read_code_cells(self.source))

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """The claims as declared, read without running anything: the cell tagged `claims` is data.

        Raises:
            PressError: when there is not exactly one such cell, or it does more than declare.
        """
        cells = [cell for cell in self.code_cells if CLAIMS_TAG in cell.tags]
        if len(cells) != 1:
            raise PressError(f"{self.path}: exactly one cell must be tagged `claims`, found {len(cells)}")
        return claims_of(self.path, cells[0])

    @cached_property
    def statements_zh(self) -> dict[str, str]:
        """The claims in Chinese, by id; those without a translation are not in it.

        Raises:
            PressError: when the file is no translation of this chapter's claims.
        """
        return read_statements(self.root / "book" / "zh" / f"{self.slug}.yml", self.claims)

    def imports(self) -> set[str]:
        """The dotted names of everything of this library that the chapter's cells import."""
        names: set[str] = set()
        for cell in self.code_cells:
            names.update(name for name in imported_names(parse(cell.source)) if name.split(".")[0] == "kexue")
        return names

    def check(self) -> None:
        """Check that the chapter can be read: front matter, data sets, syntax of its cells, claims.

        Raises:
            PressError: saying what is wrong, by file and line or field.
        """
        unknown = [name for name in self.data if name not in registry()]
        if unknown:
            raise PressError(f"{self.path}: `kexue.data` names {unknown}, which are not registered data sets")
        for cell in self.code_cells:
            try:
                parse(cell.source)
            except SyntaxError as error:
                line = cell.line + (error.lineno or 1) - 1
                raise PressError(f"{self.path}:{line}: {error.msg}") from error
        _ = self.statements_zh

    def check_cells(self) -> None:
        """Check that jupytext, which makes the notebook, finds the very code cells that the fingerprint covers.

        Raises:
            PressError: naming the first cell in which they differ.
        """
        theirs = [
            (cell.source, tuple(cell.metadata.get("tags", ())))
            for cell in self.notebook.cells
            if cell.cell_type == "code"
        ]
        ours = [(cell.source, cell.tags) for cell in self.code_cells]
        if ours != theirs:
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                min(len(ours), len(theirs)),
            )
            raise PressError(
                f"{self.path}: code cell {at + 1} is not written as jupytext reads it; use a plain code-cell fence"
            )

    def check_parameters(self) -> None:
        """Check that the parameters cell declares what a run passes in.

        Raises:
            PressError: a parameter would be unknown (papermill only warns, and the default would run instead).
        """
        cells = [cell for cell in self.code_cells if "parameters" in cell.tags]
        if len(cells) != 1:
            raise PressError(f"{self.path}: exactly one cell must be tagged `parameters`, found {len(cells)}")
        declared = assigned_names(parse(cells[0].source))
        missing = [name for name in PARAMETERS if name not in declared]
        if missing:
            raise PressError(
                f"{self.path}: unknown parameter {', '.join(missing)}: the cell tagged `parameters` must declare "
                f"{', '.join(PARAMETERS)}"
            )


def _is_chapter(text: str) -> bool:
    """Whether a page is a chapter, or was meant for one: `check` says what keeps it from being one."""
    return bool(
        re.search(r"^kexue:", text, re.MULTILINE) or re.search(r"^:?tags: \[.*\bclaims\b", text, re.MULTILINE)
    )


def _front_matter(source: str) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", source, re.DOTALL)
    matter = yaml.safe_load(match.group(1)) if match else None
    return matter if isinstance(matter, dict) else {}


def catalogue(root: Path) -> tuple[Chapter, ...]:
    """The chapters in the order of `_toc.yml`; chapters it does not list come last, in order of path."""
    toc = (root / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"file:\s*(\S+)", toc)
    chapters = [
        Chapter(root, path)
        for path in sorted((root / "book").glob("*/*.md"))
        if _is_chapter(path.read_text(encoding="utf-8-sig"))
    ]
    order = {docname: position for position, docname in enumerate(listed)}
    seen: dict[str, Path] = {}
    for chapter in chapters:
        if chapter.slug in seen:
            raise PressError(
                f"two chapters are named {chapter.slug!r}: {seen[chapter.slug]} and {chapter.path}"
            )
        seen[chapter.slug] = chapter.path
    return tuple(sorted(chapters, key=lambda c: (order.get(c.docname, len(order)), c.docname)))


def select(root: Path, slugs: list[str] | None) -> tuple[Chapter, ...]:
    """The chapters named, or all.

    Raises:
        PressError: for a name that is no chapter; the message lists the chapters.
    """
    chapters = catalogue(root)
    if not slugs:
        return chapters
    known = {chapter.slug: chapter for chapter in chapters}
    unknown = [slug for slug in slugs if slug not in known]
    if unknown:
        raise PressError(
            f"no chapter {', '.join(map(repr, unknown))}; the chapters are {', '.join(known) or '(none)'}"
        )
    return tuple(known[slug] for slug in dict.fromkeys(slugs))
