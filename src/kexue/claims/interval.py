"""95 % intervals: Student and BCa for means, Wilson for shares."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64

LEVEL = 0.95


def student(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Student's interval of the mean, x̄ ± t_{n−1} s/√n; all equal values give a point.

    Raises:
        ValueError: for fewer than two values.
    """
    from scipy.special import stdtrit

    count = values.size
    if count < 2:
        raise ValueError(f"values must hold at least 2 replicates for an interval, got {count}")
    mean = float(values.mean())
    half_width = float(stdtrit(count - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / math.sqrt(count))
    return mean - half_width, mean + half_width


def bca(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Bias-corrected accelerated bootstrap interval of the mean (scipy, 9,999 resamples, fixed generator).

    Student's interval where BCa's acceleration is not finite (values that differ by rounding alone).

    Raises:
        ValueError: for fewer than two values.
    """
    from scipy.stats import bootstrap

    if values.size < 2:
        raise ValueError(f"values must hold at least 2 replicates for an interval, got {values.size}")
    if np.ptp(values) == 0:  # every resample is the sample: BCa's acceleration is 0/0 there
        return float(values[0]), float(values[0])
    result = bootstrap((values,), np.mean, confidence_level=LEVEL, method="BCa", rng=np.random.default_rng(0))
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else student(values)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), without continuity correction.

    Raises:
        ValueError: for no trials, or successes outside [0, trials].
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in [0, trials] with trials ≥ 1, got {successes} of {trials}")
    z2 = NormalDist().inv_cdf(0.5 + LEVEL / 2) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, centre - spread), min(1.0, centre + spread)
