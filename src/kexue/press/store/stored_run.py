"""A finished run as it lies in a store, and how it is checked when read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kexue.press.project import PressError
from kexue.press.store.fingerprint import Fingerprint
from kexue.press.store.manifest import Manifest, digest

NOTEBOOK = "notebook.ipynb"
PARTIAL = "partial.ipynb"
RECORD = "run.json"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Run:
    """A finished run as stored.

    Args:
        folder: where it lies.
        manifest: what it is of.
        content: its record as read when it was checked; a run that is replaced meanwhile keeps it.
    """

    folder: Path
    manifest: Manifest
    content: bytes = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """The fingerprint's key."""
        return self.folder.parent.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """Fingerprint, provenance, claims and measurements."""
        return dict(json.loads(self.content))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What the run depended on.

        Raises:
            ValueError: when the record holds none.
        """
        return Fingerprint.from_record(self.record["fingerprint"])

    @property
    def seconds(self) -> float:
        """Wall time of the run."""
        return float(self.manifest.seconds)

    def notebook(self) -> Any:
        """The executed notebook, as plain data; of a run replaced meanwhile, that of its successor.

        Raises:
            PressError: when it has been removed.
        """
        try:
            return json.loads((self.folder / NOTEBOOK).read_text(encoding="utf-8"))
        except FileNotFoundError:
            for folder in sorted(self.folder.parent.glob("*")):
                if (successor := read(folder, self.key)) is not None:
                    return json.loads((successor.folder / NOTEBOOK).read_text(encoding="utf-8"))
            raise PressError(
                f"the run {self.key} was removed from the store while it was read; run again"
            ) from None


def read(folder: Path, key: str) -> Run | None:
    """The run in a folder if the manifest is of `key` and every file it names is as it was written, else None.

    A run of an older press, which noted no key, is read for what it was: it is found under no present key.
    """
    try:
        manifest = Manifest.opened((folder / MANIFEST).read_bytes())
        content = {name: (folder / name).read_bytes() for name in manifest.files}
    except (OSError, ValueError):
        return None
    sound = all(digest(content[name]) == wanted for name, wanted in manifest.files.items())
    if not sound or not {NOTEBOOK, RECORD} <= content.keys() or manifest.key not in (key, ""):
        return None
    run = Run(folder, manifest, content[RECORD])
    try:
        noted = run.fingerprint.key
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return run if noted == key or not manifest.key else None
