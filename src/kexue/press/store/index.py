"""The stored runs by what they are of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kexue.press.store.manifest import Manifest, unit_of
from kexue.press.store.stored_run import MANIFEST, Run, read


class Index:
    """The run folders of a store by chapter, profile, seed and settings, as they were when it was made.

    Args:
        entries: every run folder with its manifest, which is checked when a run is asked for.
    """

    def __init__(self, entries: Iterable[tuple[Path, Manifest]]) -> None:
        self._folders: dict[str, list[tuple[tuple[int, float], Path]]] = {}
        for folder, manifest in entries:
            self._folders.setdefault(manifest.unit, []).append((manifest.order, folder))

    def runs(self, chapter: str, profile: str, seed: int, settings: Mapping[str, Any]) -> Iterator[Run]:
        """The runs of one unit that verify, whatever their code was, the newest first."""
        unit = unit_of(chapter, profile, seed, settings)
        for _, folder in sorted(self._folders.get(unit, ()), reverse=True):
            run = read(folder, folder.parent.name)
            if run is not None:
                yield run


def run_folders(folder: Path) -> Iterator[str]:
    """The paths of the folders two levels below `folder`."""
    try:
        keys = [entry.path for entry in os.scandir(folder)]
    except OSError:
        return
    for key in keys:
        try:
            yield from (entry.path for entry in os.scandir(key))
        except OSError:
            continue


def peek(folder: str) -> Manifest | None:
    """The manifest in a run folder, unchecked; None where there is none."""
    try:
        with open(f"{folder}/{MANIFEST}", "rb") as handle:
            return Manifest.peeked(handle.read())
    except (OSError, ValueError):
        return None
