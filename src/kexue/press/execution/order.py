"""What the process of a run is ordered to do: one line of JSON on its standard input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """The order of one run, on the machine that makes it.

    Args:
        root: the book's folder.
        path: the chapter's path in it.
        store: the store's folder.
        log: the file that takes what the process and its kernel print.
        profile, seed, device, settings: what to run (see `kexue.press.store.plan.Unit`).
        fingerprint: what the run depends on where it was planned; the process refuses when it finds another.
        origin: commit of the book and whether its sources differ from it.
        threads: threads of the run.
        memory_limit: bytes the run may take; None: as many as there are.
    """

    root: str
    path: str
    store: str
    log: str
    profile: str
    seed: int
    device: str
    settings: dict[str, Any]
    fingerprint: dict[str, Any]
    origin: dict[str, Any]
    threads: int
    memory_limit: int | None

    def line(self) -> str:
        """The order as the process reads it."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Order:
        """The order that `line` wrote."""
        return cls(**json.loads(line))
