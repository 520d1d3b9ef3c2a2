"""The annealed entropy: H(n, N) = 2 log N + h_n, with h_n computed three independent ways.

For centre and context vectors with independent uniform directions in n dimensions and ‖u‖‖v‖ = βn, the
logit of a pair is κ cos θ with κ = βn, and the angle has density ∝ sinⁿ⁻²θ. Replacing the averages over the
N² pairs of a softmax by expectations over that angle gives its *annealed* entropy

    H = 2 log N + h_n,    h_n = log E[e^{κ cos θ}] − κ E[cos θ e^{κ cos θ}] / E[e^{κ cos θ}],

or log N + h_n for one row. −h_n is the divergence of the von Mises–Fisher law of concentration κ from the
uniform law on the sphere.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.integrate import quad
from scipy.special import gammaln, hyp0f1, ive

from kexue.embedding import _checks, _debye
from kexue.embedding._checks import Real

SOFTMAXES = ("joint", "row")


def log_mean_exp(n: Real, norm_product: Real = 1.0) -> float:
    """log E[e^{κ cos θ}] for a uniform direction in n dimensions, κ = βn.

    log Γ(n/2) + (n/2 − 1) log(2/κ) + log I_{n/2−1}(κ), in the log domain (see `offset`).

    Args:
        n: dimension, real, ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        The logarithm, in nats.

    Raises:
        ValueError: for n < 2, β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695; DLMF 10.32.2.
    """
    return _moments(_checks.dimension(n), _checks.norm_product(norm_product))[0]


def tilted_cosine(n: Real, norm_product: Real = 1.0) -> float:
    """Mean of cos θ under the density ∝ e^{κ cos θ} sinⁿ⁻²θ, I_{n/2}(κ) / I_{n/2−1}(κ).

    Args:
        n: dimension, real, ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0; κ = βn.

    Returns:
        A cosine in (0, 1); it tends to (√(1+4β²) − 1)/2β, the golden ratio's inverse for β = 1.

    Raises:
        ValueError: for n < 2, β ≤ 0, NaN or infinity.
    """
    return _moments(_checks.dimension(n), _checks.norm_product(norm_product))[1]


def offset(n: Real, norm_product: Real = 1.0) -> float:
    """h_n, what the choice of a pair loses against the uniform choice, in nats.

    h_n = log Γ(n/2) + (n/2−1) log(2/κ) + log I_{n/2−1}(κ) − κ I_{n/2}(κ)/I_{n/2−1}(κ),  κ = βn.

    Scaled Bessel functions below n = 62, Debye's uniform expansion from there on: no underflow (scipy's `ive`
    returns 0 from n ≈ 5,600 at β = 1) and no cancellation. Against mpmath with 60 digits the error is below
    1e-13 + 4e-16·|h| from n = 2 to 10⁶ and β from 0.01 to 4 (below 2e-12 at β = 100).

    Args:
        n: dimension, real, ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0; 1 means components of size about 1.

    Returns:
        h_n < 0, in nats.

    Raises:
        ValueError: for n < 2, β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695 (the integral); DLMF 10.41.3 (the expansion).
    """
    n, beta = _checks.dimension(n), _checks.norm_product(norm_product)
    if n >= _debye.FROM_DIMENSION:
        return _debye.offset(n, beta)
    log_mean, cosine = _moments(n, beta)
    return log_mean - beta * n * cosine


def _moments(n: float, beta: float) -> tuple[float, float]:
    kappa, order = beta * n, n / 2 - 1
    if n >= _debye.FROM_DIMENSION:
        return _debye.log_mean_exp(n, beta), _debye.tilted_cosine(n, beta)
    if kappa < 1:  # I_ν(κ) underflows with κ; the power series of the mean itself does not
        mean = float(hyp0f1(order + 1, kappa**2 / 4))
        return math.log(mean), kappa / n * float(hyp0f1(order + 2, kappa**2 / 4)) / mean
    scaled = float(ive(order, kappa))
    log_mean = float(gammaln(order + 1)) + order * math.log(2 / kappa) + math.log(scaled) + kappa
    return log_mean, float(ive(order + 1, kappa)) / scaled


def offset_by_quadrature(n: Real, norm_product: Real = 1.0) -> float:
    """h_n from its defining integrals, by adaptive quadrature with a break at the peak of the integrand.

    Both integrals are taken relative to their peak, within 40 of its widths: the rest is below e^{−700}.

    Args:
        n: dimension, real, ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.

    Returns:
        h_n in nats; agrees with `offset` to 1e-10 for n ≤ 5,000.

    Raises:
        ValueError: for n < 2, β ≤ 0, NaN or infinity.

    Source: kexue.fm/archives/7695, the formula behind its table.
    """
    n, beta = _checks.dimension(n), _checks.norm_product(norm_product)
    kappa = beta * n
    log_weight, cosine_shift, peak = _integrals(n, kappa)
    log_uniform, _, _ = _integrals(n, 0.0)
    return log_weight - log_uniform - kappa * (peak + cosine_shift)


def _integrals(n: float, kappa: float) -> tuple[float, float, float]:
    """log ∫ e^{κ cos θ} sinⁿ⁻²θ dθ, the tilted mean of cos θ less its peak value, and that value."""
    power = n - 2
    peak = 2 * kappa / (power + math.hypot(power, 2 * kappa)) if kappa else 0.0
    at = math.acos(min(peak, 1.0))
    curvature = kappa * peak + (power / (1 - peak**2) if power else 0.0)
    width = 1 / math.sqrt(curvature) if curvature else math.pi
    top = kappa * peak + (power / 2 * math.log1p(-(peak**2)) if power else 0.0)

    def weight(theta: float) -> float:
        return math.exp(kappa * math.cos(theta) + (power * math.log(math.sin(theta)) if power else 0.0) - top)

    low, high = max(0.0, at - 40 * width), min(math.pi, at + 40 * width)
    noise = max(1e-13, 1e-15 * (kappa + power))  # rounding of the exponent: quad must not chase it
    settings = {"points": sorted({max(low, at - 3 * width), at, min(high, at + 3 * width)}), "limit": 400}
    total, _ = quad(weight, low, high, epsabs=0, epsrel=noise, **settings)
    if kappa == 0:
        return top + math.log(total), 0.0, peak
    shift, _ = quad(
        lambda theta: weight(theta) * (math.cos(theta) - peak),
        low,
        high,
        epsabs=noise * total * min(width, 1.0),
        epsrel=0,
        **settings,
    )
    return top + math.log(total), shift / total, peak


def offset_by_von_mises_fisher(n: Real, norm_product: Real = 1.0) -> float:
    """h_n as the entropy of a von Mises–Fisher law less that of the uniform law on the sphere.

    h_n = −KL(vMF(κ) ‖ uniform) = ∫₀^κ A(t) dt − κ A(κ): the log-normaliser of an exponential family is the
    integral of its mean A(t) = I_{n/2}(t)/I_{n/2−1}(t), here by Gauss's continued fraction: no Bessel
    function is evaluated.

    Args:
        n: dimension, real, ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0; κ = βn.

    Returns:
        h_n in nats; agrees with `offset` to 1e-10 for n ≤ 5,000 (scipy's own `vonmises_fisher` to n ≈ 1,500).

    Raises:
        ValueError: for n < 2, β ≤ 0, NaN or infinity.

    Source: Mardia & Jupp, Directional Statistics, §9.3; DLMF 10.33.1.
    """
    n, kappa = _checks.dimension(n), _checks.dimension(n) * _checks.norm_product(norm_product)
    edges = [0.0]
    while edges[-1] < kappa:  # A bends on the scale of n: panels that double
        edges.append(min(kappa, 2 * edges[-1] or n / 2))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = np.array(edges[:-1]), np.array(edges[1:])
    half = (high - low)[:, None] / 2
    concentrations = low[:, None] + half * (nodes + 1)
    log_mean = float((half * weights * _mean_by_fraction(n, concentrations)).sum())
    return log_mean - kappa * float(_mean_by_fraction(n, np.array(kappa)))


def _mean_by_fraction(n: float, kappa: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """A(κ) by Gauss's continued fraction 1/(2(ν+1)/κ + 1/(2(ν+2)/κ + …)), evaluated from its tail."""
    depth = 60 + math.ceil(max(0.0, float(kappa.max()) - n / 2))
    ratio = kappa / (n / 2 + depth + np.hypot(n / 2 + depth, kappa))  # Amos's bound for the tail
    for k in range(depth, 0, -1):
        ratio = 1 / (2 * (n / 2 - 1 + k) / kappa + ratio)
    return np.asarray(ratio)


def annealed_entropy(n: Real, vocabulary: Real, norm_product: Real = 1.0, softmax: str = "joint") -> float:
    """The article's estimate of the entropy of a softmax over N words, in nats.

    H(n, N) = 2 log N + h_n for the joint softmax over all pairs, log N + h_n for one row.

    It is the entropy's *annealed* value: right while it is well above 0, meaningless below.

    Args:
        n: dimension, real, ≥ 2.
        vocabulary: number of words N ≥ 2.
        norm_product: β = ‖u‖‖v‖/n > 0.
        softmax: "joint" (all N² pairs) or "row" (N words given one).

    Returns:
        The entropy in nats; negative past the threshold.

    Raises:
        ValueError: for n < 2, N < 2, β ≤ 0, NaN, infinity or another softmax.

    Source: kexue.fm/archives/7695; the row form is that of archives/8823.
    """
    copies = 1 + (_checks.one_of("softmax", softmax, SOFTMAXES) == "joint")
    return copies * math.log(_checks.vocabulary(vocabulary)) + offset(n, norm_product)
