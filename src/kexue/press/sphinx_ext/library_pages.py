"""The pages of the library: one a module, with its functions, what they take and give, and who uses them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kexue.press.sphinx_ext.staged import Module

FOLDER = "book/library"


def docname(module: str) -> str:
    """The page of a module."""
    return f"{FOLDER}/{module}"


def write_pages(modules: Iterable[Module], folder: Path) -> list[dict[str, Any]]:
    """Write the sources of the library's pages.

    Args:
        modules: what `kexue.press.site.api.library` found.
        folder: the staging tree.

    Returns:
        The entries for the table of contents: an overview, with the modules below it.
    """
    listed = list(modules)
    if not listed:
        return []
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "overview.md").write_text(
        "# {en}`The library` {zh}`代码库`\n\n```{library-overview}\n```\n", encoding="utf-8"
    )
    for module in listed:
        name = module["name"]
        parts = [f"# {name}", f"```{{library-module}} {name}\n```"]
        for found in module["objects"]:
            parts += [
                f"## {found['name']}",
                f"```{{library-object}} {name} {found['name']}\n```",
            ]
        (folder / f"{docname(name)}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    below = [{"file": docname(m["name"]), "title": m["name"].removeprefix("kexue.")} for m in listed]
    return [{"file": f"{FOLDER}/overview", "sections": below}]
