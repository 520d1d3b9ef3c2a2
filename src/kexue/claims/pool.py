"""From the measurements of one claim, over the runs that made them, to one interval and one verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from kexue.claims.claim import PROFILES, Claim
from kexue.claims.interval import bca, student, wilson
from kexue.claims.row import Verdict

BOOTSTRAP_FROM = (
    20  # replicates; of fewer, a bootstrap interval of the mean is too narrow (0.75 for 0.95 at three)
)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Measurement:
    """What one run measured for one claim.

    Args:
        id: the claim's id.
        values: one number per replicate (one alone for "exact" and "seeds").
        error: numerical error of an exact value, in the claim's unit.
        binary: whether the values are yes/no outcomes, so that their mean is a share.
    """

    id: str
    values: tuple[float, ...]
    error: float = 0.0
    binary: bool = False

    def record(self) -> dict[str, Any]:
        """The measurement as plain data, ready for JSON."""
        return {**asdict(self), "values": list(self.values)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Measurement:
        """The measurement that `record` was made from."""
        return cls(**{**record, "values": tuple(record["values"])})


@dataclass(frozen=True)
class Pooled:
    """The replicates of one claim over all its runs: their mean, 95 % interval (None: too few) and number."""

    values: tuple[float, ...]
    mean: float | None
    interval: tuple[float, float] | None
    n: int


def pool(claim: Claim, measurements: Sequence[Measurement]) -> Pooled:
    """Pool the measurements of `claim`, one per run (seed), over its unit of replication.

    exact: the hull of value ± error over the runs. seeds, draws: the replicates of all runs side by side.
    examples: the mean over runs for each example first, for the same examples come back under every seed; of
    outcomes the interval is Wilson's over the examples.

    Raises:
        ValueError: when runs disagree on the examples, some measured outcomes and others numbers, or a measurement
            belongs to another claim.
    """
    for measurement in measurements:
        if measurement.id != claim.id:
            raise ValueError(f"measurements must be of claim {claim.id!r}, got one of {measurement.id!r}")
    if not measurements:
        return Pooled((), None, None, 0)
    if len({m.binary for m in measurements}) > 1:
        raise ValueError(
            f"measurements of claim {claim.id!r} must all be outcomes (booleans) or all be numbers, got both"
        )
    if claim.over == "exact":
        values = np.array([m.values[0] for m in measurements])
        errors = np.array([m.error for m in measurements])
        hull = (float((values - errors).min()), float((values + errors).max()))
        return Pooled(tuple(values.tolist()), float(values.mean()), hull, len(values))
    if claim.over == "examples":
        lengths = {len(m.values) for m in measurements}
        if len(lengths) > 1:
            raise ValueError(
                f"values of claim {claim.id!r} must cover the same examples in every run, got {sorted(lengths)}"
            )
        values = np.mean([m.values for m in measurements], axis=0)
    else:
        values = np.array([v for m in measurements for v in m.values])
    interval = None
    if measurements[0].binary:
        interval = wilson(round(float(values.sum())), values.size)
    elif values.size > 1:
        bootstrapped = claim.interval == "bca" and values.size >= BOOTSTRAP_FROM
        interval = (bca if bootstrapped else student)(values.astype(np.float64))
    return Pooled(tuple(values.tolist()), float(values.mean()), interval, values.size)


def verdict_of(claim: Claim, pooled: Pooled, profile: str) -> Verdict:
    """The verdict: the interval all inside the expectation, all outside, or neither.

    Returns:
        "reproduced", "refuted", "inconclusive", or "untested" when nothing was measured or `profile` is below
            the claim's scale.
    """
    if pooled.n == 0 or PROFILES.index(profile) < PROFILES.index(claim.scale):
        return "untested"
    if pooled.interval is None or not all(map(math.isfinite, pooled.interval)):
        return "inconclusive"
    if claim.expect.contains(*pooled.interval):
        return "reproduced"
    return "refuted" if claim.expect.excludes(*pooled.interval) else "inconclusive"


def tally(ledger: Iterable[Mapping[str, Any]]) -> dict[Verdict, int]:
    """How many claims have each verdict."""
    counts: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
    for entry in ledger:
        counts[entry["verdict"]] += 1
    return counts
