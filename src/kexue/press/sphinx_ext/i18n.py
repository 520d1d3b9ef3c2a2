"""The book's own words in English and Chinese, and how a page holds both: the reader's switch hides one by CSS alone."""

from __future__ import annotations

from pathlib import Path

import yaml
from markupsafe import Markup

_LISTED = yaml.safe_load(Path(__file__).with_name("words.yml").read_text(encoding="utf-8"))
_CHINESE: dict[str, str] = {**_LISTED["words"], **_LISTED["phrases"]}


def translated(english: str) -> str:
    """The Chinese for one of the book's own words; the word itself if it has none."""
    return _CHINESE.get(english, english)


def both(english: str, **values: object) -> Markup:
    """Words of the book itself in both languages: the Chinese shows only where the reader has asked for it.

    Args:
        english: plain text, listed in `words.yml` if it has a translation.
        values: what stands in its braces; the book's own words among them are translated as well.
    """
    chinese = translated(english)
    if values:
        english = english.format(**values)
        chinese = chinese.format(**{name: translated(str(value)) for name, value in values.items()})
    if chinese == english:
        return Markup.escape(english)
    shown = '<span class="kx-if-en">{}</span><span class="kx-if-zh" lang="zh-CN">{}</span>'
    return Markup(shown).format(english, chinese)


def label_rules() -> str:
    """The style rules that name the cells of a table on a phone in Chinese."""
    return "".join(
        f'html[data-language="zh"] .kx-table td[data-label="{english}"]::before {{ content: "{chinese}"; }}\n'
        for english, chinese in _LISTED["words"].items()
        if english[0].isupper()
    )
