"""One chapter's staged notebook: the cells of its `.md` as it stands, with the outputs of the stored run."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupytext

from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME
from kexue.press.site.places import clean_output
from kexue.press.sources.cells import parse

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition

MIMES = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/markdown", "text/plain")
IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_LEFT_OUT = {"injected-parameters", "papermill-error-cell-tag"}
_GLUE_ROLE = re.compile(r"\{glue:[a-z]+\}`([^`:]+)(:[^`]*)?`")
_BLANK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 120" width="640" height="120">'
    '<rect x="1" y="1" width="638" height="118" rx="8" fill="none" stroke="#7a7a7a" stroke-dasharray="6 5"/>'
    '<text x="320" y="66" text-anchor="middle" font-family="sans-serif" font-size="18" fill="#7a7a7a">'
    "not drawn{why}</text></svg>"
)
_FIGURE_REFERENCE = re.compile(r"(\{numref\}`(?:[^`<]*<)?|\{ref\}`(?:[^`<]*<)?|\]\(#)([\w-]+)")
_TITLE = re.compile(r"\A(# [^\n]*\n)(.*)\Z", re.DOTALL)


class ChapterPage:
    """One chapter's staged notebook, and what was found out while making it."""

    def __init__(self, edition: ChapterEdition, state: str, *, current: bool = False) -> None:
        self.edition = edition
        self.slug = edition.chapter.slug
        self.problems: list[str] = []
        self.measured: list[str] = []
        self.thumbnail: tuple[str, bytes] | None = None
        self._key: dict[str, Any] | None = None
        cells, run = list(edition.chapter.notebook.cells), _cells_of_run(edition)
        for cell in run:
            if cell.cell_type == "code":
                cell.outputs = [clean_output(output, edition.chapter.root) for output in cell.outputs]
        outputs = [cell.outputs for cell in run if cell.cell_type == "code"]
        if run and not _same_code(cells, run, trusted=state == "fresh"):
            if current:  # as it is being written: what was run shows beside the code it was run with
                known = {cell.source: cell.outputs for cell in run if cell.cell_type == "code"}
                outputs = [known.get(cell.source, []) for cell in cells if cell.cell_type == "code"]
            else:
                cells = run
        self._glued = {
            output["metadata"]["scrapbook"]["name"]
            for of_cell in outputs
            for output in of_cell
            if "scrapbook" in output.get("metadata", {})
        }
        self._tabled = any("{verdict-table}" in cell.source for cell in cells if cell.cell_type == "markdown")
        self._figures = {
            name
            for cell in cells
            if (name := (cell.metadata.get("mystnb", {}).get("figure") or {}).get("name"))
        }
        waiting = iter(outputs)
        staged: list[Any] = []
        line = 0
        for cell in cells:
            line = line_of(cell.source, edition.chapter.source, line)
            before = len(staged)
            if cell.cell_type == "code":
                staged += self._code(cell, next(waiting, []))
            elif cell.cell_type == "raw":
                staged += self._raw(cell)
            elif not is_private_note(cell):
                staged.append(_markdown(self._prose(cell.source)))
            for new in staged[before:]:
                new["line"] = line
        staged = self._with_the_picture_first(staged)
        for index, cell in enumerate(staged):
            cell["id"] = hashlib.sha256(f"{index}\n{cell['source']}".encode()).hexdigest()[:12]
        lines = [cell.pop("line") - 1 for cell in staged]  # as MyST-NB counts: from the line before
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        metadata: dict[str, Any] = {
            "kernelspec": kernel,
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
        metadata["source_map"] = lines  # so that Sphinx names the line of the chapter's own text
        self.notebook = {"cells": staged, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}

    def _with_the_picture_first(self, staged: list[Any]) -> list[Any]:
        """The key figure right under the title: moved there from the opening, repeated there from further down."""
        opening = (
            _TITLE.match(staged[0]["source"]) if staged and staged[0]["cell_type"] == "markdown" else None
        )
        if opening is None or self._key is None:
            return staged
        at = next(index for index, cell in enumerate(staged) if cell is self._key)
        options = self._key["metadata"].get("mystnb", {})
        name = (options.get("figure") or {}).get("name") or ""
        before = [cell["source"] for cell in staged[:at] if cell["cell_type"] == "markdown"]
        if any(re.search(r"^## ", source, re.MULTILINE) for source in before) or not name:
            alt = (options.get("image") or {}).get("alt", "")
            first = [_markdown(f"```{{key-picture}} {name}\n{' '.join(alt.split())}\n```")]
        else:
            images = [
                output for output in self._key["outputs"] if IMAGES.keys() & output.get("data", {}).keys()
            ]
            rest = [output for output in self._key["outputs"] if output not in images]
            metadata = {**self._key["metadata"], "tags": ["remove-input", "kx-key-figure"]}
            first = [{**self._key, "outputs": images, "metadata": metadata, "source": "# the key figure"}]
            plain = {key: value for key, value in self._key["metadata"].items() if key != "mystnb"}
            staged[at] = {**self._key, "outputs": rest, "metadata": plain}
            above = _markdown(f"```{{drawn-above}} {name}\n```")
            staged.insert(at + 1, {**above, "line": self._key["line"]})
        line = staged[0]["line"]
        for cell in first:
            cell["line"] = line
        top = {**_markdown(opening[1]), "line": line}
        below = {**_markdown(opening[2]), "line": line + opening[1].count("\n")}
        return [top, *first, below, *staged[1:]]

    def write_thumbnail(self, folder: Path) -> str:
        """Write the chapter's key figure for its card; the file's name, or "" if there is none."""
        if self.thumbnail is None:
            return ""
        folder.mkdir(parents=True, exist_ok=True)
        name, content = self.thumbnail
        (folder / name).write_bytes(content)
        return name

    def _prose(self, source: str) -> str:
        """Markdown in which a glued number that no run has left is said to be missing."""

        def told(match: re.Match[str]) -> str:
            if "::" in match[1] or match[1] in self._glued:
                return match[0]
            if self.edition.notebook is not None:
                self.problems.append(
                    f"{self.slug}: the text shows the number {match[1]!r}, which the run did not glue"
                )
            return "*(not measured yet)*"

        def own(match: re.Match[str]) -> str:
            return f"{match[1]}{self.slug}-{match[2]}" if match[2] in self._figures else match[0]

        return _FIGURE_REFERENCE.sub(own, _GLUE_ROLE.sub(told, source))

    def _raw(self, cell: Any) -> Iterator[Any]:
        """A raw cell, which a page shows in the one format it is written in."""
        kind = cell.metadata.get("format") or cell.metadata.get("raw_mimetype")
        if is_private_note(cell):
            return
        if not kind:
            begins = repr(cell.source.strip().split("\n")[0][:40])
            self.problems.append(
                f"{self.slug}: the raw cell {begins} names no format (`:format: text/html`): no page shows it"
            )
        yield {"cell_type": "raw", "source": cell.source, "metadata": {"format": kind} if kind else {}}

    def _code(self, cell: Any, outputs: list[Any]) -> Iterator[Any]:
        options = cell.metadata.get("mystnb", {})
        metadata = {name: cell.metadata[name] for name in ("tags", "mystnb") if name in cell.metadata}
        shown, claimed = [], []
        for output in outputs:
            directive = self._directive(output)
            if directive is None:
                shown.append(_plain(output))
            else:
                claimed.append(directive)
        if any(text and text.startswith("declared") for text in claimed):
            metadata["tags"] = list(
                dict.fromkeys([*metadata.get("tags", ()), "hide-input"])
            )  # the table below it says the same
        if name := (options.get("figure") or {}).get("name"):  # a label is the chapter's own, not the book's
            figure = {**options["figure"], "name": f"{self.slug}-{name}"}
            metadata["mystnb"] = options = {**options, "figure": figure}
        if "figure" in options:
            shown = self._one_figure(shown, options)
        images = [output for output in shown if IMAGES.keys() & output.get("data", {}).keys()]
        if images and not (options.get("image") or {}).get("alt"):
            where = cell.metadata.get("label") or repr(cell.source.strip().split("\n")[0])
            self.problems.append(
                f"{self.slug}: the figure of cell {where} has no alt text (`mystnb: {{image: {{alt: …}}}}`)"
            )
            metadata["mystnb"] = {
                **options,
                "image": {**(options.get("image") or {}), "alt": "Figure without description"},
            }
        names = {cell.metadata.get("label"), name}
        code = {"cell_type": "code", "source": cell.source, "execution_count": None}
        made = {**code, "outputs": shown, "metadata": metadata}
        if images and outputs and self.edition.chapter.key_figure in names - {None}:
            self._keep_thumbnail(images[0]["data"])
            self._key = made
        yield made
        yield from (_markdown(f"```{{{text}\n```") for text in claimed if text)

    def _directive(self, output: Any) -> str | None:
        """The directive that stands for an output of `kexue.claims`; None for any other output."""
        data = output.get("data", {})
        if MEASUREMENT_MIME in data:
            self.measured.append(data[MEASUREMENT_MIME]["measurement"]["id"])
            return f"measurement}} {self.measured[-1]}"
        if CLAIMS_MIME in data:
            return "declared-claims}"
        if VERDICTS_MIME in data:
            return "" if self._tabled else "verdict-table}"
        return None

    def _one_figure(self, outputs: list[Any], options: dict[str, Any]) -> list[Any]:
        """A figure cell's outputs: one image, since each output would get the caption and the label."""
        images = [output for output in outputs if IMAGES.keys() & output.get("data", {}).keys()]
        beside = [
            output for output in outputs if output["output_type"] in ("stream", "error") or _is_glue(output)
        ]
        rich = [output for output in outputs if output not in beside and "text/plain" not in output["data"]]
        if len(rich) > 1:
            self.problems.append(
                f"{self.slug}: the figure cell {options['figure'].get('name')!r} shows {len(rich)} things"
            )
        if not images:
            why = " yet: this chapter has no stored run"
            if self.edition.notebook is not None:
                why = ": the stored run left no picture here"
                self.problems.append(
                    f"{self.slug}: the run left no picture in the figure cell {options['figure'].get('name')!r}; "
                    "was MPLBACKEND set where it was started?"
                )
            blank = {"image/svg+xml": _BLANK.format(why=why)}
            images = [{"output_type": "display_data", "data": blank, "metadata": {}}]
        return beside + images[:1]

    def _keep_thumbnail(self, data: dict[str, Any]) -> None:
        for mime, ending in IMAGES.items():
            if mime in data:
                text = "".join(data[mime])
                content = text.encode() if ending == "svg" else base64.b64decode(text)
                self.thumbnail = f"{self.slug}.{ending}", content
                return


def is_private_note(cell: Any) -> bool:
    """Whether a cell of prose is the author's own: no reader sees it."""
    return cell["cell_type"] != "code" and "remove-cell" in cell["metadata"].get("tags", ())


def line_of(cell: str, source: str, after: int) -> int:
    """The 0-based line of the text where a cell begins; that of the cell before it where it is not to be found."""
    begin = sum(len(line) for line in source.splitlines(keepends=True)[:after])
    at = source.find(cell, begin) if cell.strip() else -1
    return after if at < 0 else source.count("\n", 0, at)


def _cells_of_run(edition: ChapterEdition) -> list[Any]:
    if edition.notebook is None:
        return []
    notebook = jupytext.reads(json.dumps(edition.notebook), fmt="ipynb")
    return [cell for cell in notebook.cells if not _LEFT_OUT & set(cell.metadata.get("tags", ()))]


def _same_code(current: list[Any], run: list[Any], *, trusted: bool) -> bool:
    """Whether the stored outputs belong to the current cells: as many of them, with the same code."""
    mine, theirs = ([cell.source for cell in cells if cell.cell_type == "code"] for cells in (current, run))
    return len(mine) == len(theirs) and (trusted or all(map(_alike, mine, theirs)))


def _alike(mine: str, theirs: str) -> bool:
    try:
        return mine == theirs or ast.dump(parse(mine)) == ast.dump(parse(theirs))
    except SyntaxError:
        return False


def _is_glue(output: Any) -> bool:
    return "scrapbook" in output.get("metadata", {})


def _plain(output: Any) -> dict[str, Any]:
    """An output without what changes from run to run, in the one format shown (a glued value: in all)."""
    if output["output_type"] not in ("display_data", "execute_result"):
        return dict(output)
    if _is_glue(output):
        return {"output_type": "display_data", "data": output["data"], "metadata": output["metadata"]}
    best = next((mime for mime in MIMES if mime in output["data"]), None)
    data = {best: output["data"][best]} if best else output["data"]
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}
