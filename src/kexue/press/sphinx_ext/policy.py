"""What a page may do: nothing that a chapter displays can run a script, or reach any host but the site's own.

Two guards. A chapter may put a script of its own on its page by the tag `interactive` of the cell that displays it: it is
then in the chapter's text for all to read, and runs under the same policy. Any other displayed HTML with a script, an event handler, a `javascript:` address, a frame or something to load from
elsewhere is a warning at its line, and so ends the build. And each page says by its Content-Security-Policy that the
browser runs the site's own files and the inline scripts of the theme and of such cells, by their digests, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LOG = logging.getLogger(__name__)
_ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
_INLINE = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_HANDLER = re.compile(r'\son[a-z]+="([^"]*)"')
_LOADING = {"src", "srcset", "poster", "data", "background"}
_NEVER = ("script", "iframe", "object", "embed", "base", "meta", "link", "form")
_INTERACTIVE = ("script", "form")
_TAGGED = "tag_interactive"  # as MyST-NB marks a cell with the tag `interactive`
_DECLARED = '<meta http-equiv="Content-Security-Policy"'
# A page of the unpacked archive is opened from a disk, where some browsers take `self` for nothing: hence `file:`.
_POLICY = (
    "default-src 'self' file:; img-src 'self' file: data:; font-src 'self' file: data:; "
    "style-src 'self' file: 'unsafe-inline'; script-src 'self' file:{scripts}; "
    "object-src 'none'; base-uri 'none'; form-action 'self' file:"
)


def refused(html: str, *, interactive: bool = False) -> Iterator[str]:
    """What displayed HTML holds that no page may do, in words.

    Args:
        html: the HTML.
        interactive: whether its cell says that it runs a script of its own: inline ones and forms are allowed then.
    """
    for element in BeautifulSoup(html, "html.parser").find_all(True):
        own = interactive and element.name in _INTERACTIVE and not {"src", "action"} & element.attrs.keys()
        if element.name in _NEVER and not own:
            yield f"<{element.name}>"
        for name, value in element.attrs.items():
            text = re.sub(
                r"[\s\x00-\x1f]", "", " ".join(value) if isinstance(value, list) else str(value)
            ).lower()
            if name.startswith("on"):
                yield f"the event handler {name}"
            elif text.startswith(("javascript:", "vbscript:", "data:text/html")):
                yield f"{name}={value!r}"
            elif name in _LOADING and text.startswith(("http:", "https:", "//")):
                yield f"something to load from elsewhere, {name}={value!r}"


def _read_addresses(app: Sphinx, doctree: nodes.document) -> None:
    """The address of a picture in Markdown is percent-encoded; Sphinx looks for a file of that name."""
    for image in doctree.findall(nodes.image):
        if not urlsplit(image["uri"]).scheme:
            image["uri"] = unquote(image["uri"])


def _look(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of what is refused in raw HTML; what our own templates made is escaped, and marked as theirs."""
    for raw in doctree.findall(nodes.raw):
        if "html" in raw.get("format", "").split() and not raw.get("kexue"):
            for found in refused(raw.astext(), interactive=_is_interactive(raw)):
                _LOG.warning(
                    "displayed HTML holds %s; a page shows, it runs and fetches nothing",
                    found,
                    location=raw,
                    type="kexue",
                    subtype="policy",
                )
            for found in _unfound(app, raw.astext()):
                _LOG.warning(found, location=raw, type="kexue", subtype="image")


def _is_interactive(raw: nodes.Node) -> bool:
    """Whether HTML stands in the output of a cell with the tag `interactive`."""
    place = raw.parent
    while place is not None:
        if isinstance(place, nodes.Element) and _TAGGED in place.get("classes", ()):
            return True
        place = place.parent
    return False


def _unfound(app: Sphinx, html: str) -> Iterator[str]:
    """Pictures of displayed HTML that the site will not have, in words."""
    beside, root = Path(app.env.doc2path(app.env.docname)).parent, Path(app.srcdir)
    for image in BeautifulSoup(html, "html.parser").select("img[src]"):
        address = urlsplit(str(image["src"]))
        path = (beside / unquote(address.path)).resolve()
        if address.scheme or address.netloc:
            continue
        if not path.is_file():
            yield f"<img> of {address.path!r}, which is no file beside this page"
        elif not path.is_relative_to(root / "book" / "_static"):
            yield f"<img> of {address.path!r} within HTML is not copied to the site; write ![…]({address.path})"


def policy_of(page: str) -> str:
    """The policy of a rendered page: digests of the theme's inline scripts; in the article, of interactive cells' alone."""
    frame = _ARTICLE.sub("", page)
    own = BeautifulSoup(page, "html.parser").select(f".{_TAGGED} script") if _TAGGED in page else ()
    inline = [*_INLINE.findall(frame), *(script.decode_contents() for script in own)]
    scripts = dict.fromkeys(map(_digest, inline))
    handlers = dict.fromkeys(_digest(handler) for handler in _HANDLER.findall(frame))
    unsafe = [" 'unsafe-hashes'"] if handlers else []
    return _POLICY.format(scripts="".join([*scripts, *unsafe, *handlers]))


def _digest(script: str) -> str:
    return f" 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _escape_title(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The theme writes a page's title as text into the HTML of its printed form, and does not escape it."""
    if "pagetitle" in context:
        context["pagetitle"] = escape(context["pagetitle"])


def _declare(app: Sphinx, failure: Exception | None) -> None:
    """Write each page's policy into its head."""
    if failure is not None or app.builder.format != "html" or not app.config.kexue_content_policy:
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if _DECLARED in page.partition("</head>")[0]:  # not rendered again: it is as it was
            continue
        meta = f'{_DECLARED} content="{policy_of(page)}">'
        path.write_text(page.replace("<head>", f"<head>\n    {meta}", 1), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register both guards."""
    app.add_config_value("kexue_content_policy", True, "html", [bool])
    app.connect("doctree-read", _read_addresses, priority=400)  # before Sphinx collects pictures
    app.connect("doctree-read", _look)
    app.connect("html-page-context", _escape_title, priority=900)
    app.connect("build-finished", _declare, priority=950)  # when the pages are as they stay
