"""The site to take away: one zip that opens from a disk, and one PDF of the whole book, printed by a headless Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup

from kexue.press.project import PressError
from kexue.press.sphinx_ext.staged import OFFLINE_NAME as NAME

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DATE = re.compile(rb"/(CreationDate|ModDate) \(D:[^)]*\)")
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the zip's own: two archives of one site have the same bytes
_PRINT_LIMIT = 300.0
FRAME = """<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title>{styles}</head>
<body class="kx-book"><main class="bd-main"><div class="bd-content"><div class="bd-article-container">{pages}</div></div></main></body>
</html>
"""


def write_archive(site: Path) -> Path:
    """Put the whole site into one zip within it; two archives of one site have the same bytes."""
    target = site / f"{NAME}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(site.rglob("*")):
            if path.is_file() and path != target:
                entry = zipfile.ZipInfo(f"{NAME}/{path.relative_to(site).as_posix()}", _BEGINNING)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    return target


def write_pdf(site: Path, pages: list[str]) -> Path:
    """Print the book into one PDF within the site.

    Args:
        site: the rendered site.
        pages: the pages to print, in order.

    Raises:
        PressError: when there is no Chromium, or it fails.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise PressError(f"a PDF needs one of {', '.join(_BROWSERS)} on the path; install Chromium")
    target, whole = site / f"{NAME}.pdf", site / "_whole-book.html"
    whole.write_text(whole_book(site, pages), encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                [
                    browser,
                    "--headless",
                    "--no-sandbox",  # it opens nothing but what this process wrote
                    "--disable-gpu",
                    f"--user-data-dir={profile}",
                    "--no-pdf-header-footer",
                    "--generate-pdf-document-outline",
                    f"--print-to-pdf={target}",
                    whole.resolve().as_uri(),
                ],
                capture_output=True,
                text=True,
                timeout=_PRINT_LIMIT,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise PressError(f"{browser} did not print the book within {_PRINT_LIMIT:.0f} s") from error
    finally:
        whole.unlink()
    if done.returncode != 0 or not target.is_file():
        raise PressError(
            f"{browser} could not print the book (status {done.returncode}): {done.stderr[-500:]}"
        )
    target.write_bytes(_DATE.sub(lambda found: re.sub(rb"\d", b"0", found[0]), target.read_bytes()))
    return target


def whole_book(site: Path, pages: list[str]) -> str:
    """All pages in one, links between them kept: an address becomes a place in this page, an image a file beside it."""
    names = {f"{page}.html": f"page-{index}" for index, page in enumerate(pages)}
    bodies, styles, title = [], "", ""
    for page, key in names.items():
        soup = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
        if not styles:
            sheets = [str(link["href"]) for link in soup.select('link[rel="stylesheet"]')]
            sheets += ["../_static/katex/katex.min.css"]
            styles = "".join(
                f'<link rel="stylesheet" href="{_resolved(page, sheet)[0]}">'
                for sheet in dict.fromkeys(sheets)
            )
            title = soup.title.get_text().split(" — ")[0].strip() if soup.title else ""
        article = soup.select_one("article.bd-article")
        if article is not None:
            article["id"] = key
            bodies.append(str(_rebased(article, page, key, names)))
    return FRAME.format(title=title, styles=styles, pages="".join(bodies))


def _rebased(article: Any, page: str, key: str, names: dict[str, str]) -> Any:
    for element in article.select("script, .headerlink, .kx-screen-only"):
        element.decompose()
    for element in article.select("[id]"):
        element["id"] = f"{key}-{element['id']}"
    for use in article.select("use"):
        use["href"] = f"#{key}-{use['href'][1:]}"
    for details in article.select("details:not(.hide)"):
        details["open"] = ""
    for element in article.select("[src]"):
        element["src"] = _resolved(page, element["src"])[0]
        element.attrs.pop("loading", None)
    for link in article.select("a[href]"):
        path, place = _resolved(page, link["href"])
        if urlsplit(path).scheme:
            continue
        if path in names:
            link["href"] = f"#{names[path]}-{place}" if place else f"#{names[path]}"
        else:
            del link["href"]
    return article


def _resolved(page: str, address: str) -> tuple[str, str]:
    """An address on a page as one from the site's root, and the place in it."""
    if urlsplit(address).scheme:
        return address, ""
    path, place = urldefrag(urljoin(f"/{page}", address))
    return path.lstrip("/").split("?")[0] or page, place
