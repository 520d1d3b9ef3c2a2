"""What a run depends on, part by part, and the key that addresses its result.

Key = code cells + parameters + every `kexue` module reached by import, transitively + digests of the data read
+ versions of the packages that decide numbers + device class. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexue.data import registry
from kexue.press.catalogue import Chapter
from kexue.press.cells import parse
from kexue.press.root import PressError

if TYPE_CHECKING:
    from grimp import ImportGraph

DECIDING_PACKAGES = ("torch", "numpy", "scipy", "pandas")
# The press runs chapters and judges nothing; the command line calls it. Neither is ever part of a chapter.
_NEVER_REACHED = ("kexue.press", "kexue.cli")


@dataclass(frozen=True)
class Fingerprint:
    """What a run depends on; two runs with equal fingerprints give the same numbers."""

    cells: tuple[str, ...]
    modules: dict[str, str]
    parameters: dict[str, Any]
    data: dict[str, str]
    versions: dict[str, str]
    device: str

    @property
    def key(self) -> str:
        """SHA-256 over all parts, shortened to 32 hexadecimal digits (128 bits)."""
        return _sha(json.dumps(asdict(self), sort_keys=True))[:32]

    @property
    def code(self) -> str:
        """Digest of cells and modules alone: whether two runs were of the same code."""
        return _sha(json.dumps([self.cells, self.modules], sort_keys=True))[:32]

    def record(self) -> dict[str, Any]:
        """The fingerprint as plain data, ready for JSON."""
        return {**asdict(self), "cells": list(self.cells)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Fingerprint:
        """The fingerprint that `record` was made from."""
        return cls(**{**record, "cells": tuple(record["cells"])})


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def normalised(tree: ast.AST) -> str:
    """The tree without what does not compute: positions, comments, layout, docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def _graph() -> ImportGraph:
    import grimp

    return grimp.build_graph("kexue", cache_dir=None)


@cache
def module_digest(module: str) -> str:
    """Digest of a module's code, without comments and docstrings."""
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        raise PressError(f"module {module!r} has no source file")
    return _sha(normalised(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))))[:32]


def closure(imported: Iterable[str]) -> tuple[str, ...]:
    """Every `kexue` module that importing `imported` loads: themselves, their packages, and so on transitively."""
    graph = _graph()
    reached: set[str] = set()
    waiting = {"kexue", *imported}
    while waiting:
        name = waiting.pop()
        if name in reached or name not in graph.modules or name.startswith(_NEVER_REACHED):
            continue
        reached.add(name)
        if "." in name:
            waiting.add(name.rpartition(".")[0])  # importing a.b runs a/__init__.py too
        waiting |= graph.find_modules_directly_imported_by(name)
    return tuple(sorted(reached))


def forget() -> None:
    """Forget what was read of the sources, so that the next fingerprint reads them again."""
    _graph.cache_clear()
    module_digest.cache_clear()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in DECIDING_PACKAGES:
        try:
            found[package] = metadata.version(package).split("+")[0]
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def fingerprint(chapter: Chapter, *, profile: str, seed: int, device: str) -> Fingerprint:
    """The fingerprint of one run of a chapter that passes its `check`.

    Args:
        chapter: the chapter.
        profile: "smoke", "quick" or "full".
        seed: the seed.
        device: "cpu" or "cuda", resolved.
    """
    return Fingerprint(
        cells=tuple(_sha(normalised(parse(cell.source)))[:16] for cell in chapter.code_cells),
        modules={module: module_digest(module) for module in closure(chapter.imports())},
        parameters={"profile": profile, "seed": seed},
        data={name: registry()[name].digest for name in chapter.data},
        versions=versions(),
        device=device,
    )


def differences(chapter: Chapter, then: Fingerprint, now: Fingerprint) -> list[str]:
    """What changed from `then` to `now`, as sentences: cells by line, modules by dotted name, data, versions."""
    found = []
    if len(then.cells) != len(now.cells):
        found.append(f"the chapter has {len(now.cells)} code cells, it had {len(then.cells)}")
    old = set(then.cells)
    for cell, digest in zip(chapter.code_cells, now.cells, strict=True):
        if digest not in old:
            found.append(f"cell at line {cell.line} changed: {_headline(cell.source)}")
    if sorted(then.cells) == sorted(now.cells) and then.cells != now.cells:
        found.append("the code cells are in another order")
    for what, before, after in (
        ("module", then.modules, now.modules),
        ("data set", then.data, now.data),
        ("parameter", then.parameters, now.parameters),
        ("version of", then.versions, now.versions),
    ):
        for name in sorted(before.keys() | after.keys()):
            if name not in before:
                found.append(f"{what} {name} is new")
            elif name not in after:
                found.append(
                    f"{what} {name} is no longer reached" if what == "module" else f"{what} {name} is gone"
                )
            elif before[name] != after[name]:
                values = f": {before[name]} → {after[name]}" if what in ("parameter", "version of") else ""
                found.append(f"{what} {name} changed{values}")
    if then.device != now.device:
        found.append(f"device changed: {then.device} → {now.device}")
    return found or ["nothing of the code changed, but the stored run is of another make"]


def _headline(source: str) -> str:
    first = next(
        (line.strip() for line in source.splitlines() if line.strip() and not line.startswith("#")), "(empty)"
    )
    return first if len(first) <= 60 else first[:57] + "…"
