"""A claim as one row of plain data: what was asserted, what was measured, the verdict; what tables, pages and records hold."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from annotated_types import Len
from typing_extensions import (
    TypedDict,  # pydantic, which checks records, asks for this one before Python 3.12
)

Verdict = Literal["reproduced", "refuted", "inconclusive", "untested"]


class Row(TypedDict):
    """A claim and its pooled replicates."""

    id: str
    statement: str
    source: str
    kind: str
    headline: NotRequired[bool]  # a record from before claims said so has neither this nor the next
    registered: NotRequired[str]
    quantity: str
    expect: str
    expect_low: float | None
    expect_high: float | None
    unit: str
    values: NotRequired[list[float]]  # a record leaves them out where there are many
    mean: float | None
    interval: Annotated[list[float], Len(2, 2)] | None
    n: int
    over: str
    scale: str
    verdict: Verdict
    profile: str
