"""What a run depends on, part by part, and the key that addresses its result.

Key = code cells + parameters + every `kexue` module reached by import, transitively + digests of the data read
+ versions of the packages that decide numbers + device class. Comments, docstrings and layout do not count. Of a claim
count its id, its unit and what it is taken over: wording, bar and source are judged anew whenever a page is made.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexue.claims import Claim
from kexue.data import registry
from kexue.press.project import LIBRARY, PressError, decides_nothing
from kexue.press.sources.cells import parse
from kexue.press.sources.chapter import CLAIMS_TAG, Chapter

if TYPE_CHECKING:
    from grimp import ImportGraph

DECIDING_PACKAGES = ("torch", "numpy", "scipy", "pandas")


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
        """Digest of cells, modules and data: whether two runs computed the same thing, wherever they ran."""
        return _sha(json.dumps([self.cells, self.modules, self.data], sort_keys=True))[:32]

    def record(self) -> dict[str, Any]:
        """The fingerprint as plain data, ready for JSON."""
        return {**asdict(self), "cells": list(self.cells)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Fingerprint:
        """The fingerprint that `record` was made from."""
        return cls(**{**record, "cells": tuple(record["cells"])})


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _cell_digest(source: str) -> str:
    """Digest of a cell: a string that stands alone is its output, and so is what a last semicolon hides."""
    tree = parse(source)
    silent = source.rstrip().endswith(";")
    return _sha(f"{silent}{[normalised(statement) for statement in tree.body]}")[:16]


def _claims_digest(claims: Iterable[Claim]) -> str:
    """Digest of the claims cell: what a measurement is recorded under, and no more."""
    return _sha(json.dumps(sorted((claim.id, claim.over, claim.unit) for claim in claims)))[:16]


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

    try:
        return grimp.build_graph("kexue", cache_dir=None, exclude_type_checking_imports=True)
    except grimp.exceptions.SourceSyntaxError as error:
        raise PressError(f"the library does not parse: {error}") from error


@cache
def module_digest(module: str) -> str:
    """Digest of a module's code, without comments and docstrings."""
    return _text_digest(_source_of(module).read_text(encoding="utf-8"))


@cache
def _text_digest(source: str) -> str:
    return _sha(normalised(ast.parse(source)))[:32]


def _source_of(module: str) -> Path:
    """The file of a module of this library, found without importing anything on the way."""
    path = LIBRARY.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def closure(imported: Iterable[str]) -> tuple[str, ...]:
    """Every `kexue` module that importing `imported` loads: themselves, their packages, and so on transitively."""
    graph = _graph()
    reached: set[str] = set()
    waiting = {"kexue", *imported}
    while waiting:
        name = waiting.pop()
        if name in reached or name not in graph.modules or decides_nothing(name):
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


def fingerprint(
    chapter: Chapter, *, profile: str, seed: int, device: str, settings: Mapping[str, Any] | None = None
) -> Fingerprint:
    """The fingerprint of one run of a chapter that passes its `check`.

    Args:
        chapter: the chapter.
        profile: "smoke", "quick" or "full".
        seed: the seed.
        device: "cpu" or "cuda".
        settings: entries of the chapter's `settings` that are changed, with their values.
    """
    parameters: dict[str, Any] = {"profile": profile, "seed": seed}
    if settings:
        parameters["settings"] = dict(settings)
    return Fingerprint(
        cells=tuple(
            _claims_digest(chapter.claims) if CLAIMS_TAG in cell.tags else _cell_digest(cell.source)
            for cell in chapter.code_cells
        ),
        modules={module: module_digest(module) for module in closure(chapter.imports())},
        parameters=parameters,
        data={name: registry()[name].digest for name in chapter.data},
        versions=versions(),
        device=device,
    )


def differences(chapter: Chapter, then: Fingerprint, now: Fingerprint) -> list[str]:
    """What changed from `then` to `now`, as sentences: cells by line, modules by dotted name, data, versions."""
    found = []
    if len(then.cells) != len(now.cells):
        found.append(f"the chapter has {len(now.cells)} code cells, it had {len(then.cells)}")
    steps = SequenceMatcher(None, then.cells, now.cells, autojunk=False).get_opcodes()
    for step, gone_from, gone_to, new_from, new_to in steps:
        if step == "delete":
            found.append(f"{gone_to - gone_from} code cells are gone after code cell {new_from}")
        elif step != "equal":
            found += [
                f"cell at line {cell.line} changed: {_headline(cell.source)}"
                for cell in chapter.code_cells[new_from:new_to]
            ]
    for what, before, after in (
        ("module", then.modules, now.modules),
        ("data set", then.data, now.data),
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
                values = f": {before[name]} → {after[name]}" if what == "version of" else ""
                found.append(f"{what} {name} changed{values}")
    if then.device != now.device:
        found.append(f"device changed: {then.device} → {now.device}")
    return found or ["nothing of the code changed, but the stored run is of another make"]


def _headline(source: str) -> str:
    first = next(
        (line.strip() for line in source.splitlines() if line.strip() and not line.startswith("#")), "(empty)"
    )
    return first if len(first) <= 60 else first[:57] + "…"
