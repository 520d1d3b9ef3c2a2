"""What is asserted, what was measured, and the verdict that follows.

A chapter declares every claim before anything is measured, measures each, and closes with the table of verdicts::

    claims = declare(
        '''
        mean-ordered:
          says: The harmonic mean is below the geometric.
          from: the article, section 2
          kind: article
          expect: ≤ 0
          registered: before
        ''',
        profile=profile,
        seed=seed,
    )
    claims.measure("mean-ordered", worst_violation)
    claims.verdicts()

The verdict is read off the 95 % interval over the claim's own unit of replication (see `kexue.claims.pool`).
"""

from kexue.claims.claim import KINDS, PROFILES, STATED, UNITS_OF_REPLICATION, Claim, ClaimError
from kexue.claims.expectation import Expectation, read_expectation
from kexue.claims.ledger import Ledger, declare
from kexue.claims.pool import VERDICTS, Measurement, Pooled, pool, verdict_of
from kexue.claims.text import ClaimTextError, read_claims

__all__ = [
    "KINDS",
    "PROFILES",
    "STATED",
    "UNITS_OF_REPLICATION",
    "VERDICTS",
    "Claim",
    "ClaimError",
    "ClaimTextError",
    "Expectation",
    "Ledger",
    "Measurement",
    "Pooled",
    "declare",
    "pool",
    "read_claims",
    "read_expectation",
    "verdict_of",
]
