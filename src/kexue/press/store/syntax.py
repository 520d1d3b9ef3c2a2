"""A syntax tree as text that says only what computes, and says it alike under every Python this library runs on.

`ast.dump` does not: 3.12 gave functions and classes `type_params` and cuts the text of f-strings otherwise, 3.13 leaves
empty lists out. Nothing but the standard library is imported here, so that the tests can run this very file under other interpreters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby

_SILENT = {"kind", "type_comment"}  # a `u` before a string, a comment: neither computes


def canonical(node: object) -> str:
    """A node as text: fields by name, in order; those that are None, empty or silent are left out, positions too.

    Args:
        node: a tree, a part of one, or what such a part holds.
    """
    if isinstance(
        node, ast.Constant
    ):  # its value may be None and is then said, unlike a field that is not there
        return f"Constant({_value(node.value)})"
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(_pieces(node))})"
    if isinstance(node, ast.AST):
        fields = {name: getattr(node, name, None) for name in node._fields if name not in _SILENT}
        said = [
            f"{name}={canonical(fields[name])}"
            for name in sorted(fields)
            if fields[name] is not None and fields[name] != []
        ]
        return f"{type(node).__name__}({','.join(said)})"
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    return _value(node)


def _pieces(string: ast.JoinedStr) -> Iterator[str]:
    """The pieces of an f-string, its text whole between two expressions, wherever a parser has cut it."""
    for is_text, pieces in groupby(string.values, lambda piece: isinstance(piece, ast.Constant)):
        if not is_text:
            yield from map(canonical, pieces)
        elif text := "".join(str(piece.value) for piece in pieces if isinstance(piece, ast.Constant)):
            yield _value(text)


def _value(value: object) -> str:
    """A constant with its type. `repr` would ask the interpreter's Unicode which characters can be printed."""
    if isinstance(value, tuple):
        return f"({','.join(map(_value, value))})"
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(_value, value)))}}}"
    if type(value) is int:
        return f"int {value:x}"  # an integer of thousands of digits has no decimal text
    return f"{type(value).__name__} {value!a}"


def without_docstrings(tree: ast.AST) -> ast.AST:
    """The tree, changed in place: a docstring does not compute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree
