"""The HTML of the pages: one Jinja environment over `templates/pages`, which escapes whatever is put into it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from kexue.claims import STATED
from kexue.claims.display import measured
from kexue.claims.pool import tally
from kexue.press.sphinx_ext import docstrings, runs
from kexue.press.sphinx_ext.chart import interval_picture, mark
from kexue.press.sphinx_ext.i18n import both, translated
from kexue.press.sphinx_ext.staged import OFFLINE_NAME, Row

_WORDS = re.compile(r"not measured|no interval|\((\d+) of (\d+) seeds\)")


def in_figures(row: Row) -> Markup:
    """What was measured, as `measured` has it, with its few words in both languages."""

    def said(found: re.Match[str]) -> str:
        return (
            both("({some} of {wanted} seeds)", some=found[1], wanted=found[2]) if found[1] else both(found[0])
        )

    return Markup(_WORDS.sub(said, str(Markup.escape(measured(row)))))


def plain(value: str | float | bool | None) -> str:
    """A cell of a benchmark: three digits of what was timed, whole numbers as they are, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def moment(text: str) -> str:
    """A time to the minute."""
    return text[:16].replace("T", " ")


def web(address: str | None) -> str:
    """An address on the web; "" for any other, such as a script's."""
    return address if address and address.startswith(("https://", "http://")) else ""


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / "pages"), autoescape=True
    )
    found.globals.update(
        both=both,
        translated=translated,
        mark=mark,
        interval_picture=interval_picture,
        tally=tally,
        stated=STATED,
        banners=runs.BANNERS,
        batches=runs.batches,
        every_run=runs.every_run,
        slowest=runs.slowest,
        durations=runs.durations,
        peak_memory=runs.peak_memory,
        offline_name=OFFLINE_NAME,
        zip=zip,
    )
    found.filters.update(
        in_figures=in_figures,
        plain=plain,
        moment=moment,
        web=web,
        day=lambda run: run.get("started", "")[:10],
        duration=runs.duration,
        device_of=runs.device_of,
        machine_of=runs.machine_of,
        commit_of=runs.commit_of,
        versions=runs.versions,
        prose=docstrings.prose,
        inline=docstrings.inline,
    )
    return found


_PAGES = _environment()


def template(name: str) -> Template:
    """A template by its file's name without ending."""
    return _PAGES.get_template(f"{name}.html")


def macro(name: str, /, *arguments: Any, **options: Any) -> Markup:
    """One of the macros that the templates share, as HTML."""
    found: Markup = getattr(template("macros").module, name)(*arguments, **options)
    return found


def html(text: str) -> nodes.raw:
    """HTML of ours as a node."""
    return nodes.raw("", text, format="html", kexue=True)


def shown(name: str, /, **data: Any) -> nodes.raw:
    """A template, filled, as a node."""
    return html(template(name).render(data))
