"""A claim: one refutable sentence of an article or a paper, and what a measurement must show for it to hold."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from kexue.claims.expectation import Expectation

PROFILES = ("smoke", "quick", "full")
KINDS = ("theorem", "numeric", "ordering", "trend")
UNITS_OF_REPLICATION = ("exact", "seeds", "draws", "examples")
INTERVALS = ("student", "bca")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


@dataclass(frozen=True)
class Claim:
    """One claim, as its source states it.

    Args:
        id: kebab-case name, unique in its chapter.
        statement: one sentence a reader can disagree with.
        source: article section, or paper and table / figure / equation.
        kind: "theorem", "numeric", "ordering" or "trend".
        expect: where the measured quantity must lie (`Below`, `Above`, `Between`, `Near`).
        over: the unit of replication: "exact" (nothing random), "seeds", "draws" or "examples".
        scale: the smallest profile at which the claim can be tested.
        quantity: the name of the measured quantity (the id if empty).
        unit: its unit; "1" for a pure number.
        statement_zh: the statement in Chinese.
        interval: how the 95 % interval of a mean is formed: "student" or "bca" (bootstrap).

    Raises:
        ValueError: naming the field, what came and what is wanted.
    """

    id: str
    statement: str
    source: str
    kind: str
    expect: Expectation
    over: str = "exact"
    scale: str = "smoke"
    quantity: str = ""
    unit: str = "1"
    statement_zh: str = ""
    interval: str = "student"

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"id must be kebab-case (a-z, 0-9, single hyphens), got {self.id!r}")
        for name in ("statement", "source", "unit"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} of claim {self.id!r} must not be empty")
        _one_of("kind", self.kind, KINDS)
        _one_of("over", self.over, UNITS_OF_REPLICATION)
        _one_of("scale", self.scale, PROFILES)
        _one_of("interval", self.interval, INTERVALS)
        if not isinstance(self.expect, Expectation):
            raise ValueError(
                f"expect of claim {self.id!r} must be Below, Above, Between or Near; got {self.expect!r}"
            )

    def record(self) -> dict[str, Any]:
        """The claim as plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Claim:
        """The claim that `record` was made from."""
        return cls(**{**record, "expect": Expectation(**record["expect"])})
