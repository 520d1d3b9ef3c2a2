"""A claim: one refutable sentence, where it comes from, and what a measurement must show for it to hold."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from kexue.claims.expectation import Expectation

PROFILES = ("smoke", "quick", "full")
KINDS = ("article", "paper", "sequel", "check", "ours")
STATED = ("article", "paper", "sequel")  # the kinds that somebody else has stated in print
UNITS_OF_REPLICATION = ("exact", "seeds", "draws", "examples")
INTERVALS = ("student", "bca")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REGISTERED = re.compile(r"before|(after-pilot|changed): *\S[^\n]*")


class ClaimError(ValueError):
    """A claim was declared or measured against the rules."""


class FieldError(ClaimError):
    """A field of a claim is not what it should be.

    Args:
        field: the attribute of `Claim`.
        reason: what is wanted and what came.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True)
class Claim:
    """One claim, as its source states it.

    Args:
        id: kebab-case name, unique in its chapter.
        statement: one sentence a reader can disagree with.
        source: article section, or paper and table / figure / equation.
        kind: who states it: the "article", the "paper", a "sequel" (a later article or paper), or nobody in print: a
            "check" (an identity or a check of the code, which must hold) or "ours".
        expect: where the measured quantity must lie.
        registered: "before" when the claim was written down before anything was measured; else
            "after-pilot: …" or "changed: …" with one line on what was known or changed, and when.
        headline: whether the claim is one of those the chapter is about.
        quantity: the name of the measured quantity (the id if empty).
        unit: its unit; "1" for a pure number.
        over: the unit of replication: "exact" (nothing random), "seeds", "draws" or "examples".
        scale: the smallest profile at which the claim can be tested.
        interval: how the 95 % interval of a mean is formed: "student" or "bca" (bootstrap).

    Raises:
        FieldError: naming the field, what came and what is wanted.
    """

    id: str
    statement: str
    source: str
    kind: str
    expect: Expectation
    registered: str = "before"
    headline: bool = False
    quantity: str = ""
    unit: str = "1"
    over: str = "exact"
    scale: str = "smoke"
    interval: str = "student"

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise FieldError("id", f"must be kebab-case (a-z, 0-9, single hyphens), got {self.id!r}")
        for name in ("statement", "source", "unit"):
            if not getattr(self, name).strip():
                raise FieldError(name, f"of claim {self.id!r} must not be empty")
        for name, allowed in (
            ("kind", KINDS),
            ("over", UNITS_OF_REPLICATION),
            ("scale", PROFILES),
            ("interval", INTERVALS),
        ):
            if getattr(self, name) not in allowed:
                raise FieldError(name, f"must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        if not _REGISTERED.fullmatch(self.registered):
            raise FieldError(
                "registered",
                f"must be before, or after-pilot: or changed: with one line after it; got {self.registered!r}",
            )

    def record(self) -> dict[str, Any]:
        """The claim as plain data, ready for JSON."""
        return asdict(self)
