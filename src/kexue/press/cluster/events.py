"""What happens to units while they are run, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kexue.press.store.plan import Unit


@dataclass(frozen=True)
class Event:
    """Something that happened to a unit: started, waiting, kernel (pid), cell (index, of), done, failed."""

    unit: Unit
    name: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: "done", "reused" (another command made it meanwhile), "failed", "not runnable" here, each of the
    last two with the reason; or "fresh", which needed no run.
    """

    unit: Unit
    status: str
    message: str = ""
    seconds: float | None = None


class Interrupted(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came while units were running; finished ones are stored, no kernel is left."""
