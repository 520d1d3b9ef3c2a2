"""How a run failed, as it is stored and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class FailureKind(StrEnum):
    """What kind of end a run came to."""

    CHAPTER = "chapter"  # it cannot be run as it is written
    RAISED = "raised"
    NOT_EXECUTED = "not executed"
    CELL_LIMIT = "cell limit"
    CHAPTER_LIMIT = "chapter limit"
    OUT_OF_MEMORY = "out of memory"
    KERNEL_DIED = "kernel died"
    KERNEL_LOST = "broken"  # it lives, and its line is broken
    NO_KERNEL = "no kernel"
    OUTPUT = "output"  # a cell shows what cannot be stored
    RECORD = "record"  # all cells ran, and what they left is no complete record
    STORE = "store"
    WORKER = "worker"
    CRASH = "crash"  # the process of the run was lost
    OTHER = "other"  # of another make than this one


@dataclass(frozen=True)
class Failure:
    """What is known of a failed run.

    Args:
        kind: of which kind.
        message: the whole story in a sentence, with file and line where there is one.
        cell: which code cell of the chapter, from 1.
        line: the line of the chapter's file.
        exit_code: of the kernel, where it ended; negative: the signal that killed it.
        traceback: as IPython prints it.
        seconds: how long the run took.
        peak_rss_mb: the most memory it took.
        finished: when, in seconds since the epoch.
    """

    kind: FailureKind
    message: str
    cell: int | None = None
    line: int | None = None
    exit_code: int | None = None
    traceback: tuple[str, ...] = ()
    seconds: float | None = None
    peak_rss_mb: int | None = None
    finished: float | None = None

    def record(self) -> dict[str, Any]:
        """The failure as plain data, ready for JSON."""
        return {**asdict(self), "traceback": list(self.traceback)}

    @classmethod
    def from_record(cls, record: Any) -> Failure:
        """The failure that `record` was made from, by this press or an older one.

        Raises:
            ValueError: when it says nothing of what happened.
        """
        if not isinstance(record, Mapping) or not isinstance(record.get("message"), str):
            raise ValueError(f"a failure must hold a message, got {record!r:.80}")
        kind = record.get("kind")
        traceback = record.get("traceback")

        def number(name: str) -> Any:
            value = record.get(name)
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None

        return cls(
            kind=FailureKind(kind) if kind in list(FailureKind) else FailureKind.OTHER,
            message=record["message"],
            traceback=tuple(map(str, traceback)) if isinstance(traceback, list) else (),
            **{
                name: number(name)
                for name in ("cell", "line", "exit_code", "seconds", "peak_rss_mb", "finished")
            },
        )
