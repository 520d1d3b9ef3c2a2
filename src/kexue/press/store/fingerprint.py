"""What a run depends on, part by part, and the key that addresses its result.

Key = code cells + parameters + every `kexue` module reached by import, transitively + digests of the data read
+ versions of the packages they import + device class. Comments, docstrings and layout do not count. Of a claim count its
id, its unit and what it is taken over: wording, bar and source are judged anew whenever a page is made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

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
        return sha256(json.dumps(self.record(), sort_keys=True))[:32]

    @property
    def code(self) -> str:
        """Digest of cells, modules and data: whether two runs computed the same thing, wherever they ran."""
        return sha256(json.dumps([self.cells, self.modules, self.data], sort_keys=True))[:32]

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


def sha256(text: str) -> str:
    """The digest of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
