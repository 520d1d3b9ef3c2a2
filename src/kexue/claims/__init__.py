"""What is asserted, what was measured, and the verdict that follows.

A chapter declares every claim before anything is measured, measures each, and closes with the table of verdicts::

    claims = declare(Claim(id="mean-ordered", ..., expect=Below(0)), profile=profile, seed=seed)
    claims.measure("mean-ordered", worst_violation)
    claims.verdicts()

The verdict is read off the 95 % interval over the claim's own unit of replication (see `kexue.claims.pool`).
"""

from kexue.claims.claim import KINDS, PROFILES, UNITS_OF_REPLICATION, Claim
from kexue.claims.expectation import Above, Below, Between, Expectation, Near
from kexue.claims.ledger import ClaimError, Ledger, declare
from kexue.claims.pool import VERDICTS, Measurement, Pooled, pool, verdict_of

__all__ = [
    "KINDS",
    "PROFILES",
    "UNITS_OF_REPLICATION",
    "VERDICTS",
    "Above",
    "Below",
    "Between",
    "Claim",
    "ClaimError",
    "Expectation",
    "Ledger",
    "Measurement",
    "Near",
    "Pooled",
    "declare",
    "pool",
    "verdict_of",
]
