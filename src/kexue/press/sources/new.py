"""`kexue new`: the skeleton of a chapter that runs, measures a claim and has its fault test, from the first minute."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template

from kexue.press.project import PressError, write_text
from kexue.press.sources.catalogue import PARTS, catalogue
from kexue.press.sources.toc import add_page

# How every chapter begins: text that jupytext and JupyterLab read as a notebook.
HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3 (ipykernel)
  language: python
"""

_CHAPTER = Template(
    HEADER
    + """kexue:
  title: $quoted
  title_zh: $quoted_zh
  article: {title: 原文标题, date: "2020-01-01", url: "https://kexue.fm/archives/0000"}
  paper: []
  summary: One sentence for the card of this chapter.
  key_figure: fig-$slug
  profiles: {smoke: {seeds: 1}, quick: {seeds: 3}, full: {seeds: 10}}
  data: []
  limits: {cell: 300, chapter: 900}
---

# $title

```{article-box}
摘要：用一段中文说明文章的主张、这里测量了什么、结论如何。
```

What does the article assert, and why should a reader care? Two or three sentences, in our own words.

## The setting

```{code-cell} ipython3
:tags: [parameters]

profile = "quick"
seed = 0
device = "auto"
```

Everything else a profile changes stands here, once:

```{code-cell} ipython3
settings = {"smoke": {"draws": 200}, "quick": {"draws": 2_000}, "full": {"draws": 200_000}}[profile]
```

## What is claimed

```{code-cell} ipython3
:tags: [claims]

from kexue.claims import Claim, Near, declare

claims = declare(
    Claim(
        id="mean-zero",
        statement="The mean of standard normal draws is zero.",
        statement_zh="标准正态样本的均值为零。",
        source="the article, section 1",
        kind="numeric",
        quantity="mean of the draws",
        unit="1",
        expect=Near(0, 0.3),
        over="draws",
        scale="smoke",
    ),
    profile=profile,
    seed=seed,
)
```

## The experiment

The method belongs in `src/kexue/`, with its tests; here it is called and its source shown. This skeleton only draws numbers.

```{code-cell} ipython3
import matplotlib.pyplot as plt
import numpy as np

from kexue import figures

figures.use_house_style()
draws = np.random.default_rng(seed).normal(size=settings["draws"])
```

```{code-cell} ipython3
---
label: fig-$slug
mystnb:
  image:
    alt: A histogram of the draws, bell-shaped around zero.
  figure:
    caption: The draws lie around zero.
    name: fig-$slug
---
fig, ax = plt.subplots()
ax.hist(draws, bins=30)
ax.set(xlabel="value", ylabel="count")
plt.show()
```

```{code-cell} ipython3
claims.measure("mean-zero", draws)
```

## Beyond the article

What neither the article nor the paper shows.

## Verdicts

```{code-cell} ipython3
claims.verdicts()
```

```{verdict-table}
```

What was not tested, and why.

```{provenance}
```

## Exercises

Change `settings` and run again: when does the verdict turn?
"""
)

_TEST = Template('''"""A planted fault turns the verdict of each claim of the chapter `$slug`."""

import numpy as np

from tests.book.chapters import chapter, measurements
from kexue.claims import pool, verdict_of


def test_a_shifted_generator_refutes_mean_zero(monkeypatch):
    def verdict():
        measured = measurements("$slug", profile="smoke", seed=0)["mean-zero"]
        (claim,) = chapter("$slug").claims
        return verdict_of(claim, pool(claim, [measured]), "smoke")

    assert verdict() == "reproduced"
    sound = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: _Shifted(sound(seed)))
    assert verdict() == "refuted"


class _Shifted:
    def __init__(self, generator):
        self.generator = generator

    def normal(self, size):
        return self.generator.normal(loc=1.0, size=size)
''')


def make_chapter(root: Path, slug: str, *, part: str, title: str = "", title_zh: str = "") -> list[Path]:
    """Write a chapter's skeleton and its fault test, and list it in `_toc.yml`.

    Args:
        root: the book's folder.
        slug: the chapter's name, kebab-case and unused.
        part: a part of the book: generative, language, optimisation, regularisation or architecture.
        title, title_zh: its titles; made from the name if empty.

    Returns:
        The files written or changed.

    Raises:
        PressError: for a name or part that will not do, or files that are there already.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        raise PressError(f"the chapter's name must be kebab-case (a-z, 0-9, single hyphens), got {slug!r}")
    if part not in PARTS:
        raise PressError(f"part must be one of {', '.join(PARTS)}; got {part!r}")
    if slug in {chapter.slug for chapter in catalogue(root)}:
        raise PressError(f"there is a chapter {slug!r} already; choose another name")
    path = root / "book" / part / f"{slug}.md"
    test = root / "tests" / "book" / f"test_{slug.replace('-', '_')}_faults.py"
    for target in (path, test):
        if target.exists():
            raise PressError(f"{target} is there already; choose another name")
    title = title or slug.replace("-", " ").capitalize()
    words = {
        "slug": slug,
        "title": title,
        "quoted": json.dumps(title, ensure_ascii=False),  # a JSON string is a YAML string
        "quoted_zh": json.dumps(title_zh or "中文标题", ensure_ascii=False),
    }
    for target, text in ((path, as_saved(root, _CHAPTER.substitute(words))), (test, _TEST.substitute(words))):
        write_text(target, text)
    return [path, test, add_page(root, PARTS[part], f"book/{part}/{slug}")]


def as_saved(root: Path, text: str) -> str:
    """A chapter's text as JupyterLab would save it, so that opening and saving it changes nothing."""
    import jupytext
    from jupytext.config import load_jupytext_configuration_file

    path = root / "jupytext.toml"
    config = load_jupytext_configuration_file(str(path)) if path.is_file() else None
    notebook = jupytext.reads(text, fmt="md:myst", config=config)
    return str(jupytext.writes(notebook, fmt="md:myst", config=config))
