"""The forms of plain Markdown that `kexue.press.site.plain_markdown` writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mdformat.renderer import RenderContext

if TYPE_CHECKING:
    from kexue.press.results.snapshot import ChapterEdition

Render = Callable[[Any, Any], str]


def nothing(node: Any, context: Any) -> str:
    """What only directs the site: no reader of a page sees it either."""
    return ""


def children(between: str) -> Render:
    """Renders what a node holds."""

    def joined(node: Any, context: RenderContext) -> str:
        return between.join(filter(None, (child.render(context) for child in node.children)))

    return joined


def displayed(tex: str, label: str = "") -> str:
    """A formula on lines of its own; its label is its number."""
    tag = f"\\tag{{{label.replace('_', '-')}}}" if label else ""
    return f"$$\n{tex.strip()}{tag}\n$$"


def below(*parts: str) -> str:
    """Parts one below the other."""
    return "\n\n".join(filter(None, parts))


def quoted(*parts: str) -> str:
    """Parts as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in below(*parts).split("\n"))


def code(source: str, language: str = "") -> str:
    """A block of code."""
    longest = max((len(run) for run in re.findall(r"`{3,}", source)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{source.rstrip()}\n{fence}"


def parsed_table(node: Any, context: Any) -> str:
    """A table; its alignment is kept."""
    rows = [row for part in node.children for row in part.children]
    cells = [[children("")(cell, context) for cell in row.children] for row in rows]
    marks = {"left": ":--", "right": "--:", "center": ":-:"}
    rules = [
        marks.get(str(cell.attrs.get("style", "")).rpartition(":")[2], "---") for cell in rows[0].children
    ]
    return table(cells, headed=True, rules=rules)


def table(rows: Sequence[Sequence[str]], *, headed: bool, rules: Sequence[str] = ()) -> str:
    """A table of Markdown cells: no bar and no line within them ends a cell."""
    width = max(map(len, rows), default=1)
    lines = [
        "| " + " | ".join(re.sub(r"\s*\n\s*", " ", cell).replace("|", "\\|") for cell in row) + " |"
        for row in rows
    ]
    if not headed:
        lines.insert(0, "|" + "   |" * width)
    lines.insert(1, "|" + "|".join(rules or ["---"] * width) + "|")
    return "\n".join(lines)


def glued(edition: ChapterEdition, text: str) -> str:
    """The value behind a glue role, formatted as the role asks."""
    name, _, form = text.partition(":")
    for cell in edition.notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                data = {kind.rsplit("/", 2)[-1]: value for kind, value in output["data"].items()}
                value = "".join(data.get("plain") or next(iter(data.values()))).strip("'")
                try:
                    return format(float(value), form) if form else value
                except ValueError:
                    return value
    return f"({name})"
