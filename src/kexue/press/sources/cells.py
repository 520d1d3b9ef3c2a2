"""The code cells of a chapter, read straight from its text, and what they import."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from kexue.press.project import PressError, yaml_problem

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*(.*)$")


@dataclass(frozen=True)
class CodeCell:
    """A code cell of a chapter: its source, its tags, and the line of the `.md` its first line of code stands on."""

    source: str
    tags: tuple[str, ...]
    line: int


def parse(source: str) -> ast.Module:
    """The syntax tree of a code cell; IPython's magics are translated first where plain Python does not parse.

    Raises:
        SyntaxError: when it is no Python, or too deep for the parser.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape is for the cell's own run to tell
        try:
            return ast.parse(source)
        except SyntaxError:
            from IPython.core.inputtransformer2 import TransformerManager

            return ast.parse(TransformerManager().transform_cell(source))
        except (RecursionError, MemoryError, ValueError) as error:  # nested too deep; a NUL byte
            raise SyntaxError(f"it cannot be parsed: {error or type(error).__name__}") from error


def assigned_names(tree: ast.Module) -> set[str]:
    """The names that plain assignments at the top of the tree bind."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every dotted name an import statement anywhere in the tree may load, submodules included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            if node.module.split(".")[0] == "kexue":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_code_cells(text: str) -> Iterator[CodeCell]:
    """The code cells of a MyST notebook, without loading jupytext, whose import alone takes a second.

    A run checks that jupytext finds the same cells (see `check_cells`).

    Raises:
        PressError: naming the line of a cell whose options are no mapping.
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if not opening:
            continue
        first = number
        closing = re.compile(rf" {{0,3}}{re.escape(opening[1][0])}{{{len(opening[1])},}}\s*$")
        while number < len(lines) and not closing.match(lines[number]):
            number += 1
        body = lines[first:number]
        number += 1
        if not re.match(r"\{code-cell\}", opening[2]):
            continue
        options, skipped = _cell_options(body, first + 1)
        while skipped < len(body) and not body[skipped].strip():
            skipped += 1
        yield CodeCell("\n".join(body[skipped:]), _tags(options, first + 1), first + skipped + 1)


def _tags(options: dict[str, Any], line: int) -> tuple[str, ...]:
    tags = options.get("tags") or ()
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise PressError(f"line {line}: `tags` of a code cell must be a list of words, got {tags!r:.60}")
    return tuple(tags)


def _cell_options(body: list[str], line: int) -> tuple[dict[str, Any], int]:
    """The options at the head of a code cell, written as `:key: value` lines or as a YAML block, and their length."""
    if body and body[0].strip() == "---":
        end = next((i for i, text in enumerate(body[1:], start=1) if text.strip() == "---"), len(body))
        return _mapping("\n".join(body[1:end]), line + 1), end + 1
    count = 0
    while count < len(body) and re.match(r":\w", body[count]):
        count += 1
    return _mapping("\n".join(text[1:] for text in body[:count]), line), count


def _mapping(text: str, line: int) -> dict[str, Any]:
    try:
        options = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PressError(
            f"the options of a code cell are no YAML: {yaml_problem(error, first=line)}"
        ) from error
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise PressError(f"line {line}: the options of a code cell must be a mapping, got {options!r:.60}")
    return options
