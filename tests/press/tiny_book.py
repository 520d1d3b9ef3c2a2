"""A tiny book in a temporary folder, to run, break and publish."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kexue.press.sources.new import HEADER

FRONT = (
    HEADER
    + '''kexue:
  title: {title}
  title_zh: 小章
  article: {{title: 小文章, date: "2021-12-04", url: "https://kexue.fm/archives/1"}}
  summary: A tiny chapter.
  profiles: {{smoke: {{seeds: 1}}, quick: {{seeds: {seeds}{needs}}}}}
  limits: {{cell: {cell_limit}, chapter: {chapter_limit}}}
---

# {title}

Some prose.

```{{code-cell}} ipython3
:tags: [parameters]

profile = "quick"
seed = 0
{device}
```

```{{code-cell}} ipython3
:tags: [claims]

from kexue.claims import declare

claims = declare(
    """
    defaults: {{from: nowhere, kind: article, registered: before}}
    small:
      says: It is small.
      expect: ≤ 10
      over: seeds
    forgotten:
      says: Nobody measures this.
      expect: ≤ 0
    """,
    profile=profile,
    seed=seed,
)
```

More prose.

```{{code-cell}} ipython3
{body}
```

```{{code-cell}} ipython3
claims.measure("small", seed + {offset})
claims.verdicts()
```
'''
)


def draw_in_the_cell(path: Path) -> None:
    """Let a chapter made by `kexue new` make its draws itself: the library that runs is this repository's, and lacks its module."""
    module = f"kexue.{path.stem.replace('-', '_')}.experiments"
    text = path.read_text(encoding="utf-8")
    for old, new in (
        (f"```{{library}} {module}.draw\n```\n\n", ""),
        (f"from {module} import draw\n", ""),
        ("import matplotlib.pyplot as plt\n", "import matplotlib.pyplot as plt\nimport numpy as np\n"),
        ('draw(settings["draws"], seed=seed)', 'np.random.default_rng(seed).normal(size=settings["draws"])'),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


class TinyBook:
    """A book of tiny chapters with a store of its own, and `kexue` run on it as a real process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "book" / "language").mkdir(parents=True)
        self.store = root / ".kexue"
        self._toc()

    def _toc(self) -> None:
        files = "".join(
            f"  - file: book/language/{p.stem}\n" for p in sorted((self.root / "book/language").glob("*.md"))
        )
        (self.root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n" + files)

    def write(
        self,
        slug: str,
        body: str = "x = 1",
        *,
        seeds: int = 1,
        cell_limit: float = 60,
        chapter_limit: float = 120,
        offset: str = "1",
        device: str = 'device = "auto"',
        title: str | None = None,
        needs: str = "",
    ) -> Path:
        """Write (again) a chapter; `body` is the code of its third cell, `needs` such as "gpus: 1" what quick asks for."""
        path = self.root / "book" / "language" / f"{slug}.md"
        path.write_text(
            FRONT.format(
                title=title or slug.title(),
                seeds=seeds,
                needs=f", {needs}" if needs else "",
                cell_limit=cell_limit,
                chapter_limit=chapter_limit,
                body=body,
                offset=offset,
                device=device,
            ),
            encoding="utf-8",
        )
        self._toc()
        return path

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `kexue` on the book."""
        return subprocess.Popen(
            [sys.executable, "-m", "kexue.cli", *arguments],
            cwd=self.root,
            env={**os.environ, "KEXUE_STORE": str(self.store), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kexue(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `kexue` on the book to its end."""
        process = self.start(*arguments, env=env)
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *arguments: str, env: dict[str, str] | None = None) -> Any:
        """The JSON a `kexue` command prints."""
        done = self.kexue(*arguments, "--json", env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def state(self, slug: str) -> str:
        """The state of a chapter."""
        return next(str(row["state"]) for row in self.json("list") if row["chapter"] == slug)
