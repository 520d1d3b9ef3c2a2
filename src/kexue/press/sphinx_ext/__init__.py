"""The Sphinx extension of the book: roles, directives, the look of the pages; it knows the claims and the staged data only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of it with Sphinx."""
    from kexue.press.sphinx_ext import directives, theme

    directives.setup(app)
    theme.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
