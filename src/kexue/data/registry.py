"""Which data sets there are: name, public source, licence, size, digest of the decoded content (registry.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Args:
        part: the name of this part in what the decoder returns ("train", "table", …).
        path: where it lies, below the package's data folder if shipped, else below `KEXUE_DATA`.
        url: public address of the very file, if it can be downloaded.
        sha256: digest of the downloaded bytes, if known.
        package: the installed package whose file it is, `path` being relative to that.
    """

    part: str
    path: str
    url: str | None = None
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class Archive:
    """The public form of a data set where `KEXUE_DATA` lays it out otherwise: one file, with a decoder of its own."""

    decoder: str
    file: DataFile


@dataclass(frozen=True)
class DataSet:
    """A registered data set; `digest` is the SHA-256 of its decoded content (see `kexue.data.decode`)."""

    name: str
    title: str
    source: str
    licence: str
    size: int
    digest: str
    decoder: str
    shipped: bool
    files: tuple[DataFile, ...]
    archive: Archive | None = None


@cache
def registry() -> dict[str, DataSet]:
    """All data sets by name."""
    entries = json.loads((PACKAGE / "registry.json").read_text(encoding="utf-8"))
    return {name: _dataset(name, entry) for name, entry in entries.items()}


def _dataset(name: str, entry: dict[str, Any]) -> DataSet:
    files = tuple(DataFile(**file) for file in entry["files"])
    public = entry.get("archive")
    archive = Archive(public["decoder"], DataFile(**public["file"])) if public else None
    return DataSet(name=name, **{**entry, "files": files, "archive": archive})


def dataset(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        KeyError: unknown name; the message lists the names there are.
    """
    if name not in registry():
        raise KeyError(f"name must be a registered data set ({', '.join(registry())}), got {name!r}")
    return registry()[name]
