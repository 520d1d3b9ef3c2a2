"""The HTML that presents a chapter: the box with its article and papers, and its card on the first page."""

from __future__ import annotations

from html import escape
from typing import Any

from kexue.press import markup, provenance
from kexue.press.catalogue import PARTS
from kexue.press.site import Site


def origin(chapter: dict[str, Any]) -> str:
    """The original article and the papers, for the box at the top of a chapter."""
    article = chapter["article"]
    title = markup.chinese(article["title"])
    linked = f'<a href="{escape(article["url"])}">{title}</a>' if article.get("url") else title
    date = (
        f' <time datetime="{escape(article["date"])}">{escape(article["date"])}</time>'
        if article.get("date")
        else ""
    )
    papers = "".join(f"<p><b>Paper</b> {_paper(paper)}</p>" for paper in chapter["papers"])
    return f"<p><b>Article</b> {linked}, Su Jianlin, <i>Scientific Spaces</i>{date}</p>{papers}"


def _paper(paper: dict[str, str]) -> str:
    title = escape(paper.get("title", ""))
    linked = f'<a href="{escape(paper["url"])}">{title}</a>' if paper.get("url") else title
    rest = [escape(paper[name]) for name in ("authors", "venue") if paper.get(name)]
    return ", ".join([linked, *rest])


def card(site: Site, chapter: dict[str, Any]) -> str:
    """A chapter on the first page: its key figure, its titles, what it finds, its verdicts."""
    href = escape(site.page(chapter["docname"]))
    source, title = site.static(f"figures/{chapter['thumbnail']}"), escape(chapter["title"])
    picture = f'<img src="{escape(source)}" alt="Key figure: {title}">'
    words = provenance.state_in_words(chapter["state"])
    state = f'<p class="kx-old">{words}</p>' if words else ""
    return (
        f'<article class="kx-card">{picture if chapter["thumbnail"] else ""}<div>'
        f'<p class="kx-part">{escape(PARTS.get(chapter["part"], chapter["part"]))}</p>'
        f'<h3><a href="{href}">{title}</a></h3>{markup.chinese(chapter["title_zh"], "p")}'
        f"<p>{escape(chapter['summary'])}</p>{state}{markup.bar(chapter['claims'])}</div></article>"
    )
