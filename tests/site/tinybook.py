"""A book of three short chapters with hand-made runs: all the site can show, and nothing has to run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from kexue.claims import pool
from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME
from kexue.claims.ledger import row
from kexue.claims.pool import Measurement
from kexue.press.results.snapshot import ChapterEdition, Edition
from kexue.press.sources.catalogue import catalogue
from kexue.press.sources.chapter import Chapter
from kexue.press.sources.new import HEADER

REPOSITORY = Path(__file__).resolve().parents[2]
OWN_PAGES = ("intro.md", "how-to-read.md", "scoreboard.md", "speed.md", "provenance.md")
FIRST_SEED = {"mean-grows": 0.25, "human-first": 3.0, "ratio-large": 1.9}  # what the notebook's run measured
CURVE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 300" width="460pt" height="300pt">'
    '<path d="M20 280H440M20 280V20" stroke="#7a7a7a" fill="none"/>'
    '<path d="M20 280Q220 270 430 30" stroke="#2a7fb8" stroke-width="3" fill="none"/></svg>'
)

LIBRARY = '''"""Means."""

import math


def power_mean(values, power):
    """The power mean of `values`."""
    return (sum(value**power for value in values) / len(values)) ** (1 / power)


class Scale:
    """A unit of length."""

    @property
    def unit(self):
        """Its name."""
        return "m"
'''

TEMPLATE = (
    HEADER
    + '''kexue:
  title: {title}
  title_zh: {title_zh}
  article: {{title: 幂平均与排行榜, date: "2021-12-04", url: "https://kexue.fm/archives/0000"}}
  paper: {{title: "On Means & Ends", authors: "A. Author", url: "https://arxiv.org/abs/0000.00000"}}
  summary: {summary}
  key_figure: fig-{slug}
  profiles: {{smoke: {{seeds: 1}}, quick: {{seeds: 3}}, full: {{seeds: 10}}}}
  data: [toy/board]
---

# {title}: a page with a title long enough to need two lines on a phone

```{{article-box}}
本文把幂平均的参数 $p$ 从负无穷推到正无穷，观察排行榜的第一名如何变化，并逐条检验文中的论断。
```

The claim {{verdict}}`mean-grows` was measured as {{measured}}`mean-grows`, and
{{glue:text}}`steps:.2f` steps were taken.

$$M_p(x_1, \\ldots, x_n) = \\left(\\frac1n \\sum_{{i=1}}^n x_i^p\\right)^{{1/p}}, \\qquad
M_{{-\\infty}} = \\min_i x_i \\le M_{{-1}} \\le M_0 =
\\Bigl(\\prod_{{i=1}}^n x_i\\Bigr)^{{1/n}} \\le M_1 \\le M_2 \\le M_\\infty = \\max_i x_i .$$

The picture is in {{numref}}`fig-{slug}`, where $p \\in \\mathbb R$.

```{{code-cell}} ipython3
:tags: [parameters]

profile = "quick"
seed = 0
device = "auto"
```

```{{code-cell}} ipython3
:tags: [claims]

from kexue.claims import declare

claims = declare(
    """
    defaults: {{kind: paper, registered: before}}

    mean-grows:
      says: The power mean grows with its power, & <never> falls.
      from: kexue.fm/archives/0000, eq. 2
      kind: article
      headline: true
      measures: smallest increase
      expect: ≥ 0
    human-first:
      says: The human row stays first.
      from: Author 2020, table 3
      measures: rank of the human row
      expect: = 1
      unit: rank
      over: seeds
    ratio-large:
      says: The loss ratio exceeds two.
      from: Author 2020, fig. 1
      kind: check
      measures: loss ratio
      expect: "> 2"
      over: seeds
    needs-full:
      says: At full scale the error is below one part in a thousand.
      from: Author 2020, sec. 4
      kind: ours
      measures: relative error
      expect: ≤ 0.001
      over: seeds
      scale: full
      registered: "changed: the bar was 0.01 & <less>"
    """,
    profile=profile, seed=seed,
)
```

```{{library}} kexue.means.power_mean
```

```{{code-cell}} ipython3
:label: fig-{slug}
:mystnb: {{image: {{alt: "Rising"}}, figure: {{caption: "The mean rises with $p$.", name: fig-{slug}}}}}

draw()
```

```{{code-cell}} ipython3
claims.measure("mean-grows", 0.25)
```

```{{code-cell}} ipython3
claims.measure("human-first", 3.0, unit="rank")
claims.measure("ratio-large", ratio)
```

A long name: `kexue.some.module.with_a_very_long_name(and_many_arguments=1, none_of_them=2)`. A wide table:

| {header} |
|{rule}|
| {body} |

```{{code-cell}} ipython3
claims.verdicts()
```

## Verdicts, limits, cost

```{{verdict-table}}
```

```{{provenance}}
```
'''
)

CHINESE = """claims:
  mean-grows: 幂平均随幂次单调不减。
  human-first: 人类始终排名第一。
  ratio-large: 损失比大于二。
  needs-full: 全尺度下误差低于千分之一。
"""


def chapter_text(slug: str, title: str, title_zh: str) -> str:
    """The `.md` of one tiny chapter."""
    columns = [f"column number {index}" for index in range(14)]
    return TEMPLATE.format(
        slug=slug,
        title=title,
        title_zh=title_zh,
        summary="One sentence that says what the chapter finds, for the card on the first page.",
        header=" | ".join(columns),
        rule="|".join("---" for _ in columns),
        body=" | ".join("0.123456789" for _ in columns),
    )


def write_book(root: Path) -> None:
    """Write the sources of the tiny book: three chapters of its own, pages and look of the real one."""
    (root / "book" / "language").mkdir(parents=True)
    (root / "book" / "generative").mkdir()
    (root / "book" / "zh").mkdir()
    shutil.copyfile(REPOSITORY / "_config.yml", root / "_config.yml")
    shutil.copytree(REPOSITORY / "book" / "_static", root / "book" / "_static")
    for name in OWN_PAGES:
        shutil.copyfile(REPOSITORY / "book" / name, root / "book" / name)
    (root / "src" / "kexue").mkdir(parents=True)
    (root / "src" / "kexue" / "means.py").write_text(LIBRARY, encoding="utf-8")
    for part, slug, title, title_zh in (
        ("language", "means", "Means", "幂平均"),
        ("language", "older", "Older numbers", "旧的数字"),
        ("generative", "unrun", "Never run, under a name too long for a menu on a phone", "尚未运行"),
    ):
        path = root / "book" / part / f"{slug}.md"
        path.write_text(chapter_text(slug, title, title_zh), encoding="utf-8")
        (root / "book" / "zh" / f"{slug}.yml").write_text(CHINESE, encoding="utf-8")
    write_toc(root, "book/language/means", "book/language/older", generative=("book/generative/unrun",))


def write_toc(root: Path, *language: str, generative: tuple[str, ...] = ()) -> None:
    """Write `_toc.yml`, with a part that is always empty."""

    def part(caption: str, files: tuple[str, ...]) -> str:
        listed = "".join(f"\n      - file: {name}" for name in files)
        return f"  - caption: {caption}\n    chapters:{listed or ' []'}\n"

    own = part("The book", tuple(f"book/{name[:-3]}" for name in OWN_PAGES[1:]))
    parts = (
        own + part("Generative models", generative) + part("Language", language) + part("Architecture", ())
    )
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nparts:\n{parts}", encoding="utf-8")


def tiny_edition(root: Path) -> Edition:
    """The tiny book with one fresh, one stale and one unexecuted chapter."""
    chapters = []
    for chapter in catalogue(root):
        if chapter.slug == "unrun":
            chapters.append(never_run(chapter))
        elif chapter.slug == "older":
            chapters.append(stale(executed(chapter)))
        else:
            chapters.append(executed(chapter))
    return Edition(root, tuple(chapters))


def executed(chapter: Chapter) -> ChapterEdition:
    """A chapter with three runs, all current, and full-scale numbers frozen with older code."""
    rows = _rows(
        chapter, {"mean-grows": [0.25], "human-first": [3.0, 3.0, 2.5], "ratio-large": [1.9, 2.2, 2.6]}
    )
    full = _rows(chapter, {"mean-grows": [0.25], "needs-full": [2e-4, 3e-4, 2.5e-4]}, profile="full")
    frozen = {"full": {"code": "0" * 32, "claims": full, "provenance": [_provenance(0)], "older_code": True}}
    return ChapterEdition(
        chapter=chapter,
        profile="quick",
        state="fresh",
        reasons=(),
        notebook=_notebook(chapter),
        runs=tuple(_provenance(seed) for seed in range(3)),
        seeds_wanted=3,
        claims=tuple(rows),
        frozen=frozen,
        differences=(),
    )


def stale(edition: ChapterEdition) -> ChapterEdition:
    """The same chapter after an edit of the library."""
    claims = tuple({**claim, "stale": True} for claim in edition.claims)
    return replace(edition, state="stale", reasons=("module kexue.means changed",), claims=claims)


def never_run(chapter: Chapter) -> ChapterEdition:
    """A chapter without any stored run."""
    rows = tuple(_rows(chapter, {}))
    return ChapterEdition(chapter, "quick", "never run", ("no stored run",), None, (), 3, rows, {}, ())


def _rows(chapter: Chapter, values: dict[str, list[float]], profile: str = "quick") -> list[dict[str, Any]]:
    found = []
    for claim in chapter.claims:
        replicates = [Measurement(claim.id, (value,)) for value in values.get(claim.id, ())]
        pooled = row(claim, pool(claim, replicates), profile)
        seeds = list(range(len(replicates)))
        found.append(
            {
                "chapter": chapter.slug,
                **pooled,
                "statement_zh": chapter.statements_zh.get(claim.id, ""),
                "seeds": seeds,
                "seeds_wanted": len(seeds),
                "stale": False,
                "run": ["0" * 12 for _ in seeds],
            }
        )
    return found


def _provenance(seed: int) -> dict[str, Any]:
    return {
        "key": f"{seed}" * 64,
        "profile": "quick",
        "seed": seed,
        "device": "cpu",
        "started": f"2026-01-0{seed + 1}T10:00:00+00:00",
        "seconds": 12.5 + seed,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": seed == 1,
        "versions": {"python": "3.11.2", "torch": "2.6.0", "numpy": "2.1.0"},
        "peak_rss_mb": 512.0,
        "peak_gpu_mb": None,
        "parameters": {"profile": "quick", "seed": seed, "device": "auto"},
        "host": {"cpu": "A processor", "cores": 4, "gpu": None},
    }


def _notebook(chapter: Chapter) -> Any:
    """What a run leaves behind: the cells, papermill's extra cell, and the outputs."""
    notebook = nbformat.from_dict(chapter.notebook)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [_output(data) for data in _outputs(cell.source)]
            cell.execution_count = index + 1
    glued = nbformat.v4.new_output(
        "display_data", data={"application/papermill.record/text/plain": "12.3456"}
    )
    glued.metadata = nbformat.from_dict(
        {"scrapbook": {"name": "steps", "mime_prefix": "application/papermill.record/"}}
    )
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[1].outputs.append(glued)
    injected = nbformat.v4.new_code_cell(
        'profile = "quick"\nseed = 0', metadata={"tags": ["injected-parameters"]}
    )
    notebook.cells.insert(notebook.cells.index(code[0]) + 1, injected)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"
    notebook.metadata["papermill"] = {"start_time": "2026-01-01T00:00:00", "duration": 1.5}
    return notebook


def _outputs(source: str) -> list[dict[str, Any]]:
    if source.startswith("draw"):
        return [{"image/svg+xml": CURVE, "text/plain": "<Figure size 640x480>"}]
    if "declare(" in source:
        return [{CLAIMS_MIME: {"claims": []}, "text/html": "<b>one run</b>", "text/plain": "one run"}]
    if "verdicts()" in source:
        return [{VERDICTS_MIME: {}, "text/html": "<b>one run</b>", "text/plain": "one run"}]
    named = [line.split('"')[1] for line in source.split("\n") if line.startswith("claims.measure(")]
    return [
        {
            MEASUREMENT_MIME: {"measurement": Measurement(name, (FIRST_SEED[name],)).record()},
            "text/html": "<b>one run</b>",
            "text/plain": "one run",
        }
        for name in named
    ]


def _output(data: dict[str, Any]) -> Any:
    return nbformat.v4.new_output("display_data", data=data)
