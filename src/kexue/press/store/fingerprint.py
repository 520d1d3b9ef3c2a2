"""What a run depends on, part by part, and the key that addresses its result.

Key = code cells + parameters + every `kexue` module reached by import, transitively + digests of the data read
+ versions of the packages they import + device class. Comments, docstrings and layout do not count. Of a claim count its
id, its unit and what it is taken over: wording, bar and source are judged anew whenever a page is made.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexue.claims import Claim
from kexue.data import registry
from kexue.press.project import LIBRARY, PressError, decides_nothing
from kexue.press.sources.cells import imported_names, parse
from kexue.press.sources.chapter import CLAIMS_TAG, Chapter
from kexue.press.store.syntax import canonical, without_docstrings
from kexue.press.store.versions import third_party, versions

if TYPE_CHECKING:
    from grimp import ImportGraph

SCHEME = 2  # how digests are made; those of another scheme cannot be compared


@dataclass(frozen=True)
class Fingerprint:
    """What a run depends on; two runs with equal fingerprints give the same numbers.

    Args:
        cells: digests of the code cells, in order.
        modules: digests of the modules of this library, by dotted name.
        parameters: profile, seed, changed settings.
        data: digests of the data sets, by name.
        versions: of Python and of the packages imported.
        device: "cpu" or "cuda".
        scheme: how the digests were made.
    """

    cells: tuple[str, ...]
    modules: dict[str, str]
    parameters: dict[str, Any]
    data: dict[str, str]
    versions: dict[str, str]
    device: str
    scheme: int = SCHEME

    @cached_property
    def key(self) -> str:
        """SHA-256 over all parts, shortened to 32 hexadecimal digits (128 bits)."""
        return _sha(json.dumps(self.record(), sort_keys=True))[:32]

    @property
    def code(self) -> str:
        """Digest of cells, modules and data: whether two runs computed the same thing, wherever they ran."""
        return _sha(json.dumps([self.cells, self.modules, self.data], sort_keys=True))[:32]

    def record(self) -> dict[str, Any]:
        """The fingerprint as plain data, ready for JSON."""
        return {name: getattr(self, name) for name in self.__annotations__} | {"cells": list(self.cells)}

    @classmethod
    def from_record(cls, record: Any) -> Fingerprint:
        """The fingerprint that `record` was made from, by this press or an older one.

        Raises:
            ValueError: when it is none.
        """
        try:
            return cls(**{"scheme": 1, **record, "cells": tuple(record["cells"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"a fingerprint must hold {', '.join(cls.__annotations__)}: {error}") from error

    def distance(self, other: Fingerprint) -> int:
        """How many parts differ: the run with the smallest is the one to compare with."""
        if self.scheme != other.scheme:
            return 10**9
        steps = SequenceMatcher(None, self.cells, other.cells, autojunk=False).get_opcodes()
        cells = sum(max(b - a, d - c) for step, a, b, c, d in steps if step != "equal")
        parts = (
            (self.modules, other.modules),
            (self.data, other.data),
            (self.versions, other.versions),
            ({"device": self.device}, {"device": other.device}),
        )
        return cells + sum(len(dict(mine.items() ^ theirs.items())) for mine, theirs in parts)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Code:
    """What a piece of code is: its digest, and what it imports of this library and of others."""

    digest: str
    own: frozenset[str]
    others: frozenset[str]


@cache
def _cell(source: str) -> _Code:
    """A code cell: a string that stands alone is its output, and so is what a last semicolon hides."""
    tree = parse(source)
    own = frozenset(name for name in imported_names(tree) if name.split(".")[0] == "kexue")
    others = third_party(tree)
    silent = source.rstrip().endswith(";")
    said = [canonical(without_docstrings(statement)) for statement in tree.body]
    return _Code(_sha(f"{silent}{said}")[:16], own, others)


def _claims_digest(claims: Iterable[Claim]) -> str:
    """Digest of the claims cell: what a measurement is recorded under, and no more."""
    return _sha(json.dumps(sorted((claim.id, claim.over, claim.unit) for claim in claims)))[:16]


@cache
def _graph() -> ImportGraph:
    import grimp

    try:
        return grimp.build_graph("kexue", cache_dir=None, exclude_type_checking_imports=True)
    except grimp.exceptions.SourceSyntaxError as error:
        raise PressError(f"the library does not parse: {error}") from error


@cache
def _module(module: str) -> _Code:
    """A module of this library, without comments and docstrings."""
    return _text(_source_of(module).read_text(encoding="utf-8"))


@cache
def _text(source: str) -> _Code:
    tree = ast.parse(source)
    return _Code(_sha(canonical(without_docstrings(tree)))[:32], frozenset(), third_party(tree))


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
    _module.cache_clear()


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
    cells = [_cell(cell.source) for cell in chapter.code_cells]
    modules = {
        module: _module(module) for module in closure(frozenset[str]().union(*(cell.own for cell in cells)))
    }
    imported = frozenset[str]().union(*(code.others for code in (*cells, *modules.values())))
    return Fingerprint(
        cells=tuple(
            _claims_digest(chapter.claims) if CLAIMS_TAG in cell.tags else code.digest
            for cell, code in zip(chapter.code_cells, cells, strict=True)
        ),
        modules={name: module.digest for name, module in modules.items()},
        parameters=parameters,
        data={name: registry()[name].digest for name in chapter.data},
        versions=versions(imported),
        device=device,
    )


def differences(chapter: Chapter, then: Fingerprint, now: Fingerprint) -> list[str]:
    """What changed from `then` to `now`, as sentences: cells by line, modules by dotted name, data, versions."""
    if then.scheme != now.scheme:
        return ["the stored run is of an older press, whose digests say nothing of what changed"]
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
