"""Pictures under the names of their files, spaces and Chinese included: MyST hands on addresses, Sphinx looks for files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from docutils import nodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class _FilesByName(SphinxTransform):
    """Turns `a%20dot.png` back into `a dot.png`."""

    default_priority = 200

    def apply(self, **_: Any) -> None:
        for picture in self.document.findall(nodes.image):
            if not urlsplit(picture["uri"]).scheme:
                picture["uri"] = unquote(picture["uri"])


def setup(app: Sphinx) -> None:
    """Register it."""
    app.add_transform(_FilesByName)
