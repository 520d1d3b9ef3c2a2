"""The manifest of a stored run: what it is of, and the digests by which it is checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def canonical_json(data: Mapping[str, Any]) -> bytes:
    """JSON in one form only, so that equal data have equal digests.

    Raises:
        ValueError: for NaN or infinity.
    """
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()


@dataclass(frozen=True)
class Manifest:
    """What a stored run is of.

    Args:
        key: of its fingerprint; "" in runs of an older press, which did not note it.
        chapter, profile, seed, settings: which unit.
        sequence: grows with each run that a store takes in, whatever the clock says; 0 in runs of an older press.
        finished: when, in seconds since the epoch.
        seconds: wall time.
        files: digests by file name.
    """

    key: str
    chapter: str
    profile: str
    seed: int
    settings: dict[str, Any]
    sequence: int
    finished: float
    seconds: float
    files: dict[str, str]

    @property
    def order(self) -> tuple[int, float]:
        """By which the newest run is found."""
        return self.sequence, self.finished

    @cached_property
    def unit(self) -> str:
        """Of which unit, as one text to compare by (see `unit_of`)."""
        return unit_of(self.chapter, self.profile, self.seed, self.settings)

    def sealed(self) -> bytes:
        """The manifest as it is stored, with its own digest."""
        data = asdict(self)
        return canonical_json({**data, "sha256": digest(canonical_json(data))})

    @classmethod
    def opened(cls, content: bytes) -> Manifest:
        """The manifest that was sealed as `content`.

        Raises:
            ValueError: when it is not what was sealed.
        """
        data = _object(content)
        own = data.pop("sha256", None)
        if digest(canonical_json(data)) != own:
            raise ValueError("the manifest does not match its digest")
        return cls.from_record(data)

    @classmethod
    def peeked(cls, content: bytes) -> Manifest:
        """The manifest in `content`, unchecked: enough to search by.

        Raises:
            ValueError: when it is none.
        """
        return cls.from_record(_object(content))

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Manifest:
        """The manifest of plain data, by this press or an older one.

        Raises:
            ValueError: naming the field that is not what it should be.
        """
        kinds: dict[str, Any] = {
            "key": str,
            "chapter": str,
            "profile": str,
            "seed": int,
            "settings": dict,
            "sequence": int,
            "finished": int | float,
            "seconds": int | float,
            "files": dict,
        }
        data = {"key": "", "settings": {}, "sequence": 0, **data}
        for name, kind in kinds.items():
            value = data.get(name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"a manifest's {name} must be {kind}, got {value!r:.80}")
        return cls(**{name: data[name] for name in kinds})


def unit_of(chapter: str, profile: str, seed: int, settings: Mapping[str, Any]) -> str:
    """Chapter, profile, seed and settings as one text, to compare by."""
    return json.dumps([chapter, profile, seed, settings], sort_keys=True)


def _object(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError(f"must hold an object, got {type(data).__name__}")
    return data
