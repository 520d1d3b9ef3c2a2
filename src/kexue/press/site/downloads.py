"""Executed notebooks for readers: to download beside each page, and as the branch that Colab, Binder and hubs open.

What only this site understands is said in plain Markdown there: a verdict as its word, a measured value as its number,
a library source as code. Where `kexue` is not installed the first cell installs it at the commit of the page.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexue.claims.display import measured
from kexue.press.project import REPOSITORY, PressError, addresses, head
from kexue.press.site.excerpt import excerpt
from kexue.press.site.rejudge import judge_anew
from kexue.press.store.plan import State

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition, Edition

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ ]*(?P<argument>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ ]*$",
    re.M | re.S,
)
_ROLE = re.compile(r"\{(verdict|measured|glue:[a-z]+|numref|ref|eq)\}`([^`]+)`")
_DOCUMENT = re.compile(r"\{doc\}`([^`<]+?)\s*<([\w./-]+)>`|\[([^\]]+)\]\(([\w./-]+)\.md(?:#[\w-]*)?\)")
_PLACE = re.compile(r"\[([^\]]+)\]\(#[\w-]+\)")
_BRANCH_README = """# {title}: the executed chapters

Written by `kexue notebooks` from commit {commit} of {url}. Nothing here is edited by hand: each chapter as a notebook, with the outputs of
its run. Colab, Binder and hubs open them from here; `requirements.txt` installs the library at that commit.
"""


def commit_of(edition: ChapterEdition, root: Path) -> str:
    """The commit of a chapter's runs, if they were made of one; else that of the repository."""
    clean = [run["commit"] for run in edition.runs if run.get("commit") and not run.get("dirty")]
    return str(clean[0]) if clean else head(root)


def readers_notebook(
    edition: ChapterEdition, root: Path, executed: Collection[str] = ()
) -> dict[str, Any] | None:
    """A chapter as executed, for a reader's own Jupyter; None if it has no stored run.

    Args:
        edition: the chapter.
        root: the book's folder.
        executed: the chapters that lie beside it as notebooks, by their names in Sphinx.
    """
    if edition.notebook is None:
        return None
    at = addresses(root)
    notebook: dict[str, Any] = json.loads(json.dumps(edition.notebook))
    if edition.state == State.FRESH:
        judge_anew(notebook, edition.chapter, edition.profile)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = plain_markdown("".join(cell["source"]), edition, root)
            cell["source"] = _linked(text, edition.chapter.docname, at.site, executed)
    url, commit = at.repository, commit_of(edition, root)
    if url:
        notebook["cells"].insert(0, _installer(f"{url}@{commit}" if commit else url))
    return notebook


def _installer(where: str) -> dict[str, Any]:
    source = (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("kexue") is None:  # on Colab; a clone or Binder has it already\n'
        f'    %pip install --quiet "kexue @ git+{where}"'
    )
    return {
        "cell_type": "code",
        "id": "install-kexue",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def _linked(text: str, docname: str, site: str, executed: Collection[str]) -> str:
    """Links between pages as they hold in a folder of notebooks: to a notebook, else to the site, else none."""

    def document(found: re.Match[str]) -> str:
        words, name = found[1] or found[3], found[2] or found[4]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(docname), name))
        if target in executed:
            return f"[{words}]({name}.ipynb)"
        return f"[{words}]({site}{target}.html)" if site else words

    return _PLACE.sub(r"\1", _DOCUMENT.sub(document, text))


def plain_markdown(source: str, edition: ChapterEdition, root: Path) -> str:
    """Markdown that any notebook shows, from the book's own."""
    rows = {row["id"]: row for row in edition.claims}

    def fence(found: re.Match[str]) -> str:
        name, argument, body = found["name"], found["argument"].strip(), found["body"].strip()
        body = "\n".join(line for line in body.split("\n") if not line.startswith(":"))
        match name:
            case "article-box":
                article = edition.chapter.article
                return f"> **{article['title']}** ({article['date']}): <{article['url']}>\n>\n> {body}"
            case "library":
                shown = excerpt(root, argument)
                return f"`{argument}`\n\n```python\n{shown.source}\n```" if shown else f"`{argument}`"
            case "verdict-table":
                lines = [
                    f"| {row['verdict']} | {row['statement']} | {measured(row)} |" for row in rows.values()
                ]
                return "\n".join(["| verdict | claim | measured |", "|---|---|---|", *lines])
            case "provenance":
                return f"Run it again: `kexue run {edition.chapter.slug}`."
            case "math":
                return f"$$\n{body}\n$$"
            case _:
                inner = _FENCE.sub(fence, body)
                title = f"**{argument}**\n\n" if argument else ""
                return "\n".join(f"> {line}".rstrip() for line in f"{title}{inner}".split("\n"))

    def role(found: re.Match[str]) -> str:
        name, text = found[1], found[2]
        if name == "verdict":
            return f"**{rows[text]['verdict']}**" if text in rows else text
        if name == "measured":
            return measured(rows[text]) if text in rows else text
        if name.startswith("glue"):
            return _glued(edition, text)
        return text.split("<")[0].strip() if "<" in text else f"`{text}`"

    return _ROLE.sub(role, _FENCE.sub(fence, source))


def _glued(edition: ChapterEdition, text: str) -> str:
    """The value behind a glue role, formatted as the role asks."""
    name, _, form = text.partition(":")
    for cell in edition.notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                data = {kind.rsplit("/", 2)[-1]: value for kind, value in output["data"].items()}
                value = "".join(next(iter(data.values())) if "plain" not in data else data["plain"]).strip(
                    "'"
                )
                try:
                    return format(float(value), form) if form else value
                except ValueError:
                    return value
    return f"({name})"


def write_branch(edition: Edition, folder: Path) -> list[Path]:
    """Write what the branch of executed notebooks holds: the chapters, and what a Binder installs.

    Args:
        edition: the chapters with their stored runs.
        folder: an empty or new folder.

    Returns:
        The files written.

    Raises:
        PressError: when the folder is not empty, or the book names no repository for the notebooks to install from.
    """
    url = addresses(edition.root).repository
    if not url:
        raise PressError(
            f"_config.yml: `repository.url` is empty and {REPOSITORY} is not set; the notebooks must know where to install kexue from"
        )
    if folder.exists() and any(folder.iterdir()):
        raise PressError(f"{folder} is not empty; name a new folder for the branch of notebooks")
    commit = head(edition.root)
    texts = {
        "requirements.txt": f"kexue[lab] @ git+{url}@{commit or 'main'}\n",
        "runtime.txt": "python-3.11\n",
        "README.md": _BRANCH_README.format(title="Kexue, Executed", commit=commit, url=url),
    }
    executed = _executed(edition)
    for chapter in edition.chapters:
        notebook = readers_notebook(chapter, edition.root, executed)
        if notebook is not None:
            texts[f"{chapter.chapter.docname}.ipynb"] = as_text(notebook)
    written = []
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def as_text(notebook: dict[str, Any]) -> str:
    """A notebook as Jupyter writes it."""
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _executed(edition: Edition) -> set[str]:
    return {chapter.chapter.docname for chapter in edition.chapters if chapter.notebook is not None}


def place_downloads(edition: Edition, site: Path) -> None:
    """Lay each chapter's notebook and text beside its page."""
    executed = _executed(edition)
    for chapter in edition.chapters:
        page = site / f"{chapter.chapter.docname}.html"
        if not page.is_file():
            continue
        page.with_suffix(".md").write_text(chapter.chapter.source, encoding="utf-8")
        notebook = readers_notebook(chapter, edition.root, executed)
        if notebook is not None:
            page.with_suffix(".ipynb").write_text(as_text(notebook), encoding="utf-8")
