"""Sphinx over a staging tree, with the configuration that jupyter-book makes of it: for the site in a process of its own.

python -m kexue.press.site.render SOURCE HTML DOCTREES
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter


def render(
    source: Path,
    html: Path,
    doctrees: Path,
    warnings: io.StringIO,
    *,
    strict: bool,
    settings: Mapping[str, Any] | None = None,
) -> bool:
    """Render the site.

    Args:
        source: the staging tree.
        html: where the pages go.
        doctrees: what has been read already; may be empty.
        warnings: takes Sphinx's warnings and errors.
        strict: whether references to nowhere are told.
        settings: entries of Sphinx's configuration that are changed.

    Returns:
        Whether Sphinx finished without an error.
    """
    from jupyter_book.config import get_final_config
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    config, _ = get_final_config(
        user_yaml=source / "_config.yml", sourcedir=source, cli_config={"latex_individualpages": False}
    )
    config.pop("latex_documents", None)
    config.update({"nitpicky": strict, **(settings or {})})
    # sphinx-external-toc looks at every object of the process to find one collector: that wakes up the warnings
    # of whatever libraries happen to be loaded. Sphinx's own complaints go to `warnings`, not this way.
    with patch_docutils(str(source)), docutils_namespace(), catch_warnings():
        simplefilter("ignore")
        app = Sphinx(
            source, None, html, doctrees, "html", confoverrides=config, status=None, warning=warnings
        )
        app.build()
        return bool(app.statuscode == 0)


if __name__ == "__main__":
    source, html, doctrees = map(Path, sys.argv[1:])
    said = io.StringIO()
    well = render(source, html, doctrees, said, strict=True)
    sys.stderr.write(said.getvalue())
    sys.exit(0 if well and not said.getvalue() else 1)
