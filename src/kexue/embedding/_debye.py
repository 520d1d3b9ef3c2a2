"""Debye's uniform expansion of I_ν(νz), arranged so that h_n loses no digit to cancellation.

With ν = n/2 − 1, z = κ/ν, w = √(1+z²), p = 1/w (DLMF 10.41.3 and 10.41.9, Stirling's series for Γ),

    log E[e^{κ cos θ}] = ν (w − 1 − log((1+w)/2)) + S(ν) − ½ log w + log Σ U_k(p)/ν^k
    κ · (tilted mean)  = ν (w − 1) − (1 − p²) Σ (½ U_k + p U_k')/ν^k / Σ U_k/ν^k

and the two large terms of their difference cancel *on paper*, leaving h_n = −ν log((1+w)/2) + O(log w).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

FROM_DIMENSION = 62  # ν = 30: the first term left out is below 1e-16
_TERMS = 11


@cache
def _polynomials() -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
    """Coefficients, by rising power of p, of U_k and of ½ U_k + p U_k', k = 0 … _TERMS − 1.

    U_0 = 1,  U_{k+1}(p) = ½ p²(1 − p²) U_k'(p) + ⅛ ∫₀^p (1 − 5t²) U_k(t) dt, in exact fractions.
    """
    term = [Fraction(1)]
    table = []
    for _ in range(_TERMS):
        slope = [Fraction(1, 2) * c + power * c for power, c in enumerate(term)]
        table.append((tuple(map(float, term)), tuple(map(float, slope))))
        following = [Fraction(0)] * (len(term) + 3)
        for power, c in enumerate(term):
            following[power + 1] += power * c / 2 + c / (8 * (power + 1))
            following[power + 3] -= power * c / 2 + 5 * c / (8 * (power + 3))
        term = following
    return tuple(table)


def _sums(order: float, p: float) -> tuple[float, float]:
    """Σ U_k(p)/ν^k and Σ (½ U_k + p U_k')(p)/ν^k, smallest terms first."""
    value = slope = 0.0
    for k, (series, series_slope) in reversed(list(enumerate(_polynomials()))):
        value += math.fsum(c * p**power for power, c in enumerate(series)) / order**k
        slope += math.fsum(c * p**power for power, c in enumerate(series_slope)) / order**k
    return value, slope


def _stirling(x: float) -> float:
    """log Γ(x+1) − (x log x − x + ½ log 2πx)."""
    inverse = 1 / (x * x)
    series = 1 / 1260 - inverse * (1 / 1680 - inverse * (1 / 1188 - inverse * 691 / 360360))
    return (1 / 12 - inverse * (1 / 360 - inverse * series)) / x


def _arguments(n: float, beta: float) -> tuple[float, float, float]:
    order = n / 2 - 1
    z = beta * n / order
    return order, z, math.hypot(1, z)


def _common(order: float, z: float, w: float) -> tuple[float, float]:
    """What is left of log E and of κ · mean once their leading parts are taken away."""
    value, slope = _sums(order, 1 / w)
    return _stirling(order) - math.log(w) / 2 + math.log(value), -((z / w) ** 2) * slope / value


def offset(n: float, beta: float) -> float:
    """h_n for n ≥ FROM_DIMENSION."""
    order, z, w = _arguments(n, beta)
    log_rest, mean_rest = _common(order, z, w)
    return -order * math.log1p(z * z / (2 * (1 + w))) + log_rest - mean_rest


def log_mean_exp(n: float, beta: float) -> float:
    """log E[e^{βn cos θ}] for n ≥ FROM_DIMENSION."""
    order, z, w = _arguments(n, beta)
    excess = z * z / (1 + w)  # w − 1 without its cancellation
    return order * (excess - math.log1p(excess / 2)) + _common(order, z, w)[0]


def tilted_cosine(n: float, beta: float) -> float:
    """Tilted mean of cos θ for n ≥ FROM_DIMENSION."""
    order, z, w = _arguments(n, beta)
    return z / (1 + w) + _common(order, z, w)[1] / (beta * n)
