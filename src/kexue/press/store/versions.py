"""Versions of Python and of the distributions that decide a run's numbers: those its code imports."""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata

# They draw, fetch, print or check, and no number depends on them.
_DECIDE_NOTHING = frozenset({"IPython", "jaxtyping", "matplotlib", "platformdirs", "pooch", "tqdm"})


def third_party(tree: ast.AST) -> frozenset[str]:
    """The top-level names of what a tree imports and neither Python nor this library brings, not for types alone."""
    return frozenset(
        name
        for name in (dotted.split(".")[0] for dotted in _imported(tree))
        if name not in sys.stdlib_module_names and name != "kexue" and name not in _DECIDE_NOTHING
    )


def _imported(tree: ast.AST) -> Iterator[str]:
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module and tree.level == 0:
        yield tree.module
    children: Iterable[ast.AST] = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.If) and ast.unparse(tree.test).split(".")[-1] == "TYPE_CHECKING":
        children = tree.orelse
    for child in children:
        yield from _imported(child)


def versions(names: Iterable[str]) -> dict[str, str]:
    """The version of Python, and by name those of the distributions that bring the top-level modules `names`.

    A local part, such as "+cu130", is left out: it names the build, and the device class is part of a key already.
    """
    found = {"python": platform.python_version()}
    for name in sorted(names):
        for distribution in _distributions(name):
            found[distribution] = _version(distribution)
    return found


@cache
def _distributions(name: str) -> tuple[str, ...]:
    """What brings a module: mostly the distribution of its name; asking all of them takes a quarter of a second."""
    try:
        return (metadata.distribution(name).metadata["Name"],)
    except metadata.PackageNotFoundError:
        return tuple(sorted(set(_by_module().get(name, (name,)))))


@cache
def _by_module() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution).split("+")[0]
    except metadata.PackageNotFoundError:
        return "absent"
