"""`kexue new`: the skeleton of a chapter that runs, measures a claim and has its fault test, from the first minute."""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path
from string import Template

from filelock import FileLock

from kexue.press.project import PressError, store_folder, write_text
from kexue.press.sources.catalogue import PARTS, catalogue
from kexue.press.sources.toc import add_page

_TEMPLATES = Path(__file__).with_name("templates")
_LONGEST = 60  # characters of a name: it becomes that of files, with an ending
# How every chapter begins: text that jupytext and JupyterLab read as a notebook.
HEADER = (_TEMPLATES / "chapter.md").read_text(encoding="utf-8").partition("kexue:")[0]


def make_chapter(
    root: Path, slug: str, *, part: str, subject: str = "", title: str = "", title_zh: str = ""
) -> list[Path]:
    """Write a chapter's skeleton, the library module of its experiments, the tests of both, and list it in `_toc.yml`.

    Args:
        root: the book's folder.
        slug: the chapter's name, kebab-case and unused.
        part: a part of the book: generative, language, optimisation, regularisation or architecture.
        subject: the package of the library that gets the experiments; made from the name if empty.
        title, title_zh: its titles; made from the name if empty.

    Returns:
        The files written or changed.

    Raises:
        PressError: for a name or part that will not do, or files that are there already.
    """
    subject = subject or slug.replace("-", "_")
    _check_names(slug, part, subject)
    (folder := store_folder(root)).mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "new.lock"):  # two at once would lose each other's line of _toc.yml
        if slug in {chapter.slug for chapter in catalogue(root)}:
            raise PressError(f"there is a chapter {slug!r} already; choose another name")
        title = title or slug.replace("-", " ").capitalize()
        words = {
            "slug": slug,
            "subject": subject,
            "title": title,
            "quoted": json.dumps(title, ensure_ascii=False),  # a JSON string is a YAML string
            "quoted_zh": json.dumps(title_zh or "中文标题", ensure_ascii=False),
        }
        texts = {
            root / "book" / part / f"{slug}.md": as_saved(root, _filled("chapter.md", words)),
            root / "book" / "zh" / f"{slug}.yml": _filled("chinese.yml", words),
            root / "src" / "kexue" / subject / "experiments.py": _filled("experiments.txt", words),
            root / "tests" / subject / "test_experiments.py": _filled("experiments_tests.txt", words),
            root / "tests" / "book" / f"test_{slug.replace('-', '_')}_faults.py": _filled(
                "faults.txt", words
            ),
        }
        there = [target for target in texts if target.exists()]
        if there:
            raise PressError(f"{there[0]} is there already; choose another name, or another --subject")
        first = {
            root / "src" / "kexue" / subject / "__init__.py": f'"""{title}."""\n',
            root / "tests" / subject / "__init__.py": "",
        }
        texts.update({target: text for target, text in first.items() if not target.exists()})
        for target, text in texts.items():
            write_text(target, text)
        return [*texts, add_page(root, PARTS[part], f"book/{part}/{slug}")]


def _check_names(slug: str, part: str, subject: str) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) or len(slug) > _LONGEST:
        wanted = f"kebab-case (a-z, 0-9, single hyphens), at most {_LONGEST} characters"
        raise PressError(f"the chapter's name must be {wanted}, got {slug!r:.80}")
    if part not in PARTS:
        raise PressError(f"part must be one of {', '.join(PARTS)}; got {part!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", subject) or keyword.iskeyword(subject) or len(subject) > _LONGEST:
        raise PressError(f"subject must be the name of a Python package, such as optim; got {subject!r:.80}")


def _filled(template: str, words: dict[str, str]) -> str:
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)


def as_saved(root: Path, text: str) -> str:
    """A chapter's text as JupyterLab would save it, so that opening and saving it changes nothing."""
    import jupytext
    from jupytext.config import load_jupytext_configuration_file

    path = root / "jupytext.toml"
    config = load_jupytext_configuration_file(str(path)) if path.is_file() else None
    notebook = jupytext.reads(text, fmt="md:myst", config=config)
    return str(jupytext.writes(notebook, fmt="md:myst", config=config))
