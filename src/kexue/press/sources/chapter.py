"""One chapter: its text, what its front matter says, its code cells, its claims."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kexue.claims import Claim
from kexue.data import registry
from kexue.press.project import PressError, read_text
from kexue.press.sources.cells import CodeCell, assigned_names, imported_names, parse, read_code_cells
from kexue.press.sources.chinese import read_statements
from kexue.press.sources.claims_text import claims_of
from kexue.press.sources.front_matter import FrontMatter, read_front_matter

CLAIMS_TAG = "claims"  # of the cell that declares the claims
PARAMETERS = ("profile", "seed", "device")
_REFUSED = {
    "raises-exception": "would let a cell fail unseen; catch the exception and show it",
    "skip-execution": "would leave a cell out; show code that is not run as a plain code block",
}


@dataclass(frozen=True)
class Chapter:
    """One chapter: a jupytext MyST file `book/<part>/<slug>.md` whose front matter has a `kexue` mapping.

    Args:
        root: the book's folder.
        path: the chapter's file.
        problem: what keeps it from being a chapter of this book whatever its text says; "" if nothing does.
    """

    root: Path
    path: Path
    problem: str = ""

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
        """The text of the chapter.

        Raises:
            PressError: when the file cannot be read as UTF-8.
        """
        return read_text(self.path)

    @cached_property
    def front_matter(self) -> FrontMatter:
        """The `kexue` mapping of the front matter.

        Raises:
            PressError: when a field is missing, unknown or not what it should be.
        """
        return read_front_matter(self.path, self.source)

    @property
    def title(self) -> str:
        """The short English title."""
        return self.front_matter.title

    @property
    def title_zh(self) -> str:
        """The short Chinese title."""
        return self.front_matter.title_zh

    @property
    def article(self) -> dict[str, str]:
        """The article: title, date, url."""
        return self.front_matter.article

    @property
    def papers(self) -> tuple[dict[str, str], ...]:
        """The papers behind the article."""
        return self.front_matter.papers

    @property
    def summary(self) -> str:
        """One sentence for the chapter's card."""
        return self.front_matter.summary

    @property
    def key_figure(self) -> str | None:
        """The label of the figure that carries the result."""
        return self.front_matter.key_figure

    @property
    def profiles(self) -> dict[str, dict[str, Any]]:
        """The settings of each profile the chapter has; `seeds` is how many replicates it takes."""
        return self.front_matter.profiles

    @property
    def data(self) -> tuple[str, ...]:
        """The registered data sets the chapter reads."""
        return self.front_matter.data

    def limit(self, which: str, profile: str) -> float:
        """The time limit in seconds of a "cell" or of the whole "chapter"; a profile may have its own."""
        return float({**self.front_matter.limits, **self.profiles[profile]["limits"]}[which])

    def need(self, what: str, profile: str) -> float:
        """How much a run needs of "gpus" (below 1: so many fit on one), "gpu_memory_gb" or "memory_gb"; 0: no matter."""
        return float(self.profiles[profile][what])

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
        """The code cells in order, as `read_code_cells` finds them.

        Raises:
            PressError: naming the line of a cell whose options are not as they should be.
        """
        with self._named():
            return tuple(read_code_cells(self.source))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the chapter's name before an error that names only a line."""
        try:
            yield
        except PressError as error:
            raise PressError(f"{self.path}: {error}") from error

    def _tagged(self, tag: str) -> CodeCell:
        cells = [cell for cell in self.code_cells if tag in cell.tags]
        if len(cells) != 1:
            raise PressError(f"{self.path}: exactly one cell must be tagged `{tag}`, found {len(cells)}")
        return cells[0]

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """The claims as declared, read without running anything: the cell tagged `claims` is data.

        Raises:
            PressError: when there is not exactly one such cell, or it does more than declare.
        """
        return claims_of(self.path, self._tagged(CLAIMS_TAG))

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
        if self.problem:
            raise PressError(self.problem)
        unknown = [name for name in self.data if name not in registry()]
        if unknown:
            raise PressError(f"{self.path}: `kexue.data` names {unknown}, which are not registered data sets")
        for cell in self.code_cells:
            try:
                parse(cell.source)
            except SyntaxError as error:
                line = cell.line + (error.lineno or 1) - 1
                raise PressError(f"{self.path}:{line}: {error.msg}") from error
            for tag in _REFUSED.keys() & set(cell.tags):
                raise PressError(f"{self.path}:{cell.line}: the tag `{tag}` {_REFUSED[tag]}")
        self.check_parameters()
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
        declared = assigned_names(parse(self._tagged("parameters").source))
        missing = [name for name in PARAMETERS if name not in declared]
        if missing:
            raise PressError(
                f"{self.path}: unknown parameter {', '.join(missing)}: the cell tagged `parameters` must declare "
                f"{', '.join(PARAMETERS)}"
            )
