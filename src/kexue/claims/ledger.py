"""The ledger of a run: claims are declared, sealed by the first measurement, measured once each, and judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from kexue.claims.claim import PROFILES, Claim, ClaimError
from kexue.claims.display import CLAIMS_MIME, MEASUREMENT_MIME, VERDICTS_MIME, interactive, show
from kexue.claims.pool import Measurement, Pooled, pool, verdict_of
from kexue.claims.row import Row
from kexue.claims.text import read_claims


class Ledger:
    """The claims of one run and what it measured.

    Args:
        claims: the claims, with distinct ids.
        profile: the profile of the run: "smoke", "quick" or "full".
        seed: the seed of the run.

    Raises:
        ClaimError: for no claim, two of the same id, an unknown profile or a seed that is no integer ≥ 0.
    """

    def __init__(self, claims: Iterable[Claim], *, profile: str, seed: int) -> None:
        declared: dict[str, Claim] = {}
        for claim in claims:
            if claim.id in declared:
                raise ClaimError(f"id {claim.id!r} is declared twice; every claim needs its own")
            declared[claim.id] = claim
        self.claims: Mapping[str, Claim] = MappingProxyType(declared)
        if not self.claims:
            raise ClaimError("claims must hold at least one Claim, got none")
        if profile not in PROFILES:
            raise ClaimError(f"profile must be one of {', '.join(PROFILES)}; got {profile!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ClaimError(f"seed must be an integer ≥ 0, got {seed!r}")
        self.profile = profile
        self.seed = seed
        self.measurements: dict[str, Measurement] = {}

    def measure(self, id: str, value: npt.ArrayLike, *, unit: str = "1", error: float = 0.0) -> None:
        """Record the measurement of a claim, once, and show its verdict as far as this run alone can tell.

        In a notebook a cell that is run again replaces its measurement; a notebook that shows two measurements of one
        claim does not go on record (see `kexue.press`).

        Args:
            id: the claim.
            value: one number for claims over "exact" and "seeds"; a 1-D array, one entry a replicate, for
                "draws" and "examples". Booleans are outcomes: their mean is a share, with Wilson's interval.
                Integers 0 and 1 are numbers like all others, with Student's interval, which may leave [0, 1].
            unit: the unit of `value`; must be the claim's.
            error: numerical error of an exact value, in the same unit.

        Raises:
            ClaimError: unknown claim, second measurement outside a notebook, wrong unit or shape, NaN or infinity.
        """
        if _open and _open[0] is not self:
            raise ClaimError(
                f"claim {id!r}: other claims were declared since; measure in the ledger declared last"
            )
        if id not in self.claims:
            raise ClaimError(f"id {id!r} is not declared; the claims are {', '.join(self.claims)}")
        claim = self.claims[id]
        if id in self.measurements and not interactive():
            raise ClaimError(f"claim {id!r} is measured already; one measurement a run")
        if unit != claim.unit:
            raise ClaimError(f"unit of claim {id!r} must be {claim.unit!r}, got {unit!r}")
        try:
            array = np.asarray(value.tolist() if hasattr(value, "tolist") else value)
        except ValueError as ragged:
            raise ClaimError(f"value of claim {id!r} must be a number or a 1-D array: {ragged}") from ragged
        if array.dtype.kind not in "biuf":
            raise ClaimError(f"value of claim {id!r} must be real numbers, got dtype {array.dtype}")
        single = claim.over in ("exact", "seeds")
        if array.ndim != (0 if single else 1) or array.size == 0:
            wanted = "one number" if single else "a non-empty 1-D array, one entry a replicate"
            raise ClaimError(
                f"value of claim {id!r} (over {claim.over}) must be {wanted}, got shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ClaimError(
                f"value of claim {id!r} must be finite, got {np.unique(array[~np.isfinite(array)])}"
            )
        if not isinstance(error, int | float | np.number) or not math.isfinite(error) or error < 0:
            raise ClaimError(f"error of claim {id!r} must be finite and ≥ 0, got {error!r}")
        if error and claim.over != "exact":
            raise ClaimError(f"error of claim {id!r} has no place: its interval comes from its {claim.over}")
        values = tuple(np.atleast_1d(array).astype(float).tolist())
        binary = array.dtype.kind == "b" and claim.over != "exact"
        self.measurements[id] = Measurement(id, values, float(error), binary)
        show(
            MEASUREMENT_MIME,
            {"measurement": self.measurements[id].record(), "order": len(self.measurements)},
            [self.row(id)],
        )

    def row(self, id: str) -> Row:
        """The claim with its mean, interval, number of replicates and verdict, from this run alone."""
        claim = self.claims[id]
        measurement = self.measurements.get(id)
        return row(claim, pool(claim, [measurement] if measurement else []), self.profile)

    def verdicts(self) -> None:
        """Show the table of all claims; a claim declared and never measured shows as untested."""
        show(
            VERDICTS_MIME,
            {"measured": list(self.measurements), "profile": self.profile, "seed": self.seed},
            [self.row(id) for id in self.claims],
        )


def row(claim: Claim, pooled: Pooled, profile: str) -> Row:
    """A claim and its pooled replicates as one flat row of plain data."""
    return {
        "id": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "kind": claim.kind,
        "headline": claim.headline,
        "registered": claim.registered,
        "quantity": claim.quantity or claim.id,
        "expect": claim.expect.text,
        "expect_low": claim.expect.low,
        "expect_high": claim.expect.high,
        "unit": claim.unit,
        "values": list(pooled.values),
        "mean": pooled.mean,
        "interval": list(pooled.interval) if pooled.interval else None,
        "n": pooled.n,
        "over": claim.over,
        "scale": claim.scale,
        "verdict": verdict_of(claim, pooled, profile),
        "profile": profile,
    }


_open: list[Ledger] = []  # the ledger of this process, if any: what makes "no claim after a measurement" hold


def current() -> Ledger:
    """The ledger of this process.

    Raises:
        ClaimError: when no claim has been declared yet.
    """
    if not _open:
        raise ClaimError("no claims are declared yet; call declare(…) first")
    return _open[0]


def reset() -> None:
    """Forget this process's ledger, as a restart of the kernel would."""
    _open.clear()


def declare(text: str, *, profile: str, seed: int) -> Ledger:
    """Declare the claims of a chapter, all of them, before the first measurement.

    Declaring the very same claims again starts the ledger anew (a notebook run twice in one session).

    Args:
        text: the claims as YAML, see `kexue.claims.text`.
        profile: the profile of the run: "smoke", "quick" or "full".
        seed: the seed of the run.

    Raises:
        ClaimError: by line and field, or when another set of claims has been measured already in this process.
    """
    claims = read_claims(text)
    ledger = Ledger(claims, profile=profile, seed=seed)
    if _open and _open[0].measurements and list(_open[0].claims.values()) != list(claims):
        raise ClaimError(
            "claims are sealed by the first measurement "
            f"({next(iter(_open[0].measurements))!r}); declare all of them before it, or restart the kernel"
        )
    _open[:] = [ledger]
    show(
        CLAIMS_MIME,
        {"claims": [claim.record() for claim in claims], "profile": profile, "seed": seed},
        [ledger.row(claim.id) for claim in claims],
    )
    return ledger
