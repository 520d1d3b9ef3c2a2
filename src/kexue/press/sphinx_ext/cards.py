"""The HTML that presents a chapter: the box with its article and papers, and its card on the first page."""

from __future__ import annotations

from html import escape

from kexue.press.sphinx_ext import markup, provenance
from kexue.press.sphinx_ext.i18n import both, han, pair
from kexue.press.sphinx_ext.staged import Chapter, Paper, Site


def origin(chapter: Chapter) -> str:
    """The original article and the papers, for the box at the top of a chapter."""
    article = chapter["article"]
    title = han(article["title"])
    linked = f'<a href="{escape(article["url"])}">{title}</a>' if article.get("url") else title
    date = (
        f' <time datetime="{escape(article["date"])}">{escape(article["date"])}</time>'
        if article.get("date")
        else ""
    )
    papers = "".join(f"<p><b>{both('Paper')}</b> {_paper(paper)}</p>" for paper in chapter["papers"])
    author = both("Su Jianlin, Scientific Spaces", "苏剑林，科学空间")
    return f'<p><b>{both("Article")}</b> {linked} <span class="kx-origin">{author}{date}</span></p>{papers}'


def _paper(paper: Paper) -> str:
    title = escape(paper.get("title", ""))
    linked = f'<a href="{escape(paper["url"])}">{title}</a>' if paper.get("url") else title
    rest = [escape(part) for part in (paper.get("authors"), paper.get("venue")) if part]
    return ", ".join([linked, *rest])


def _summary(chapter: Chapter) -> str:
    english = f'<p class="kx-summary kx-if-en">{escape(chapter["summary"])}</p>'
    chinese = f'<p class="kx-summary kx-if-zh" lang="zh-CN">{escape(chapter["summary_zh"])}</p>'
    return english + chinese if chapter["summary_zh"] else english.replace(" kx-if-en", "")


def card(site: Site, chapter: Chapter) -> str:
    """A chapter on the first page: its key figure, its titles, what it finds, its verdicts."""
    href = escape(site.page(chapter["docname"]))
    source, title = site.static(f"figures/{chapter['thumbnail']}"), escape(chapter["title"])
    picture = f'<img src="{escape(source)}" alt="Key figure: {title}" loading="lazy">'
    words = provenance.state_in_words(chapter["state"])
    state = f'<p class="kx-old">{words}</p>' if words else ""
    return (
        f'<article class="kx-card">{picture if chapter["thumbnail"] else ""}<div>'
        f'<p class="kx-part">{both(chapter["part_title"])}</p>'
        f'<h3><a href="{href}">{pair(chapter["title"], chapter["title_zh"], "span")}</a></h3>'
        f"{_summary(chapter)}{state}{markup.bar(chapter['claims'])}</div></article>"
    )
