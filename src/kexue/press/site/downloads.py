"""Executed notebooks for readers: to download beside each page, and as the branch that Colab, Binder and hubs open.

Its Markdown is that of `kexue.press.site.plain_markdown`. Where `kexue` is not installed the first cell installs it at the
commit of the page.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexue.press.project import REPOSITORY, PressError, addresses, head
from kexue.press.site.chapter import is_private_note, line_of
from kexue.press.site.places import clean_output
from kexue.press.site.plain_markdown import PlainMarkdown
from kexue.press.site.rejudge import judge_anew
from kexue.press.store.plan import State

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition, Edition

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
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """A chapter as executed, for a reader's own Jupyter; None if it has no stored run.

    Args:
        edition: the chapter.
        root: the book's folder.
        executed: the chapters that lie beside it as notebooks, by their names in Sphinx.

    Returns:
        The notebook, and what of the chapter's Markdown it could not show, as sentences with file and line.
    """
    if edition.notebook is None:
        return None, ()
    at = addresses(root)
    notebook: dict[str, Any] = json.loads(json.dumps(edition.notebook))
    if edition.state == State.FRESH:
        judge_anew(notebook, edition.chapter, edition.profile)
    plain = PlainMarkdown(edition, root, at.site, executed)
    line = 0
    notebook["cells"] = [cell for cell in notebook["cells"] if not is_private_note(cell)]
    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [clean_output(output, root) for output in cell["outputs"]]
        text = "".join(cell["source"])
        line = line_of(text, edition.chapter.source, line)
        if cell["cell_type"] == "markdown":
            cell["source"] = plain.translate(text, line)
            if plain.attachments:
                cell["attachments"] = {**cell.get("attachments", {}), **plain.attachments}
                plain.attachments = {}
    url, commit = at.repository, commit_of(edition, root)
    if url:
        notebook["cells"].insert(0, _installer(f"{url}@{commit}" if commit else url))
    return notebook, tuple(plain.problems)


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
        notebook, _ = readers_notebook(chapter, edition.root, executed)
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


def place_downloads(edition: Edition, site: Path) -> tuple[str, ...]:
    """Lay each chapter's notebook and text beside its page; what a notebook could not show, as sentences."""
    executed, problems = _executed(edition), list[str]()
    for chapter in edition.chapters:
        page = site / f"{chapter.chapter.docname}.html"
        if not page.is_file():
            continue
        page.with_suffix(".md").write_text(chapter.chapter.source, encoding="utf-8")
        notebook, untold = readers_notebook(chapter, edition.root, executed)
        problems += untold
        if notebook is not None:
            page.with_suffix(".ipynb").write_text(as_text(notebook), encoding="utf-8")
    return tuple(problems)
