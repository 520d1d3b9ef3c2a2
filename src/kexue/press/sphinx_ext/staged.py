"""The staged data as one page sees it: what is known, and under which address."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


OFFLINE_NAME = "kexue-executed"  # of the site as one zip, and of the book as one PDF


def _read(path: Path) -> dict[str, Any]:
    """The staged data, read once for all the directives of all the pages."""
    return _parsed(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _parsed(path: str, _written: int) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


class Site:
    """The staged data, and the addresses of what it speaks of as seen from one page."""

    def __init__(self, app: Sphinx, docname: str) -> None:
        self._app, self._docname = app, docname
        self.data = _read(Path(app.srcdir) / "_kexue" / "site.json")
        self.chapters: list[dict[str, Any]] = self.data["chapters"]
        self.chapter = next((c for c in self.chapters if c["docname"] == docname), None)

    def page(self, docname: str) -> str:
        """The address of another page."""
        return self._app.builder.get_relative_uri(self._docname, docname)

    def static(self, name: str) -> str:
        """The address of a file of `book/_static`."""
        return "../" * self._docname.count("/") + f"_static/{name}"

    def claim(self, slug: str, claim: str) -> str:
        """The address of the place where a claim is measured; of its chapter if it is measured nowhere."""
        chapter = next(c for c in self.chapters if c["slug"] == slug)
        anchor = f"#claim-{claim}" if claim in chapter["measured_at"] else ""
        return anchor if anchor and chapter is self.chapter else self.page(chapter["docname"]) + anchor

    def commit(self, commit: str) -> str:
        """The address of a commit in the repository, or "" if the book names no repository."""
        url = self.data["addresses"]["repository"]
        return f"{url}/commit/{commit}" if url else ""

    def source(self, path: str, line: int, commit: str) -> str:
        """The address of a line of the library in the repository, or "" if the book names no repository."""
        home = self.data["addresses"]
        url, at = home["repository"], commit or home["commit"] or "main"
        return f"{url}/blob/{at}/{path}#L{line}" if url else ""
