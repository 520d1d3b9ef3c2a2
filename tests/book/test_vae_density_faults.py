"""Each claim of the VAE chapter can be wrong: a fault in the code it measures turns its verdict."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch

from kexue.density import (
    annealed,
    bounds,
    evaluate,
    finite,
    gaps,
    gaussian,
    gradients,
    linear_gaussian,
    mixtures,
    proposals,
    quadrature,
    training,
)
from tests.book.chapters import chapter, execute, sound

SLUG = "vae-density"
DENSITY = "kexue.density."
SEEDS = (0, 1, 2)

exact_gaps, isotropic, mean_field = gaps.exact_gaps, gaps.isotropic_weights, gaps.mean_field_weights
log_weights, log_marginal = proposals.log_weights, evaluate.log_marginal
chi_square, importance_bound, nested = gaussian.chi_square, bounds.importance_bound, bounds.nested_bounds
forward, backward = annealed.forward_weights, annealed.backward_weights
Sound, Curve = linear_gaussian.LinearGaussian, mixtures.CurveMixture
ANCHORS = torch.tensor([0.500, 0.2906, 0.1640, 0.0907, 0.0484, 0.0253, 0.0130], dtype=torch.float64)


def _gap_falls_as(power: float) -> Any:
    """The rate taken for granted: L_1 exact, the rest by the rule."""

    def faulty(law: Any, samples: Any, **options: Any) -> Any:
        first = exact_gaps(law, [1], **options)
        return first * torch.tensor([float(k) for k in samples], dtype=torch.float64) ** -power

    return faulty


def _gap_from_the_notes(law: Any, samples: Any, **options: Any) -> Any:
    return ANCHORS if list(samples) == [1, 2, 4, 8, 16, 32, 64] else exact_gaps(law, samples, **options)


def _jackknife(log_w: Any) -> Any:
    return bounds.jackknife_bound(log_w) if len(log_w) > 1 else importance_bound(log_w)


def _far_encoder(dimension: int, distance: float, scale: float, **options: Any) -> Any:
    return isotropic(dimension, 2.5 * distance if scale < 1.5 else distance, scale, **options)


def _drawn_too_wide(log_joint: Any, proposal: Any, samples: int, **options: Any) -> Any:
    if isinstance(proposal, proposals.DefensiveMixture):
        return log_weights(log_joint, proposal, samples, **options)
    wide = proposals.GaussianProposal(proposal.mean, getattr(proposal, "log_scale", 0 * proposal.mean) + 1)
    return log_weights(log_joint, wide, samples, **options)


def _as_if_normal(log_joint: Any, proposal: Any, samples: int, *, generator: Any) -> Any:
    """Normal log-weights with the mean and the variance of the true ones."""
    log_w = log_weights(log_joint, proposal, samples, generator=generator)
    if samples < 2:
        return log_w
    noise = torch.randn(log_w.shape, generator=generator, dtype=log_w.dtype, device=log_w.device)
    return log_w.mean(0) + log_w.std(0) * noise


def _noise_forgotten(x: Any, decode: Any, noise: float) -> Any:
    return normal_log_joint(x, decode, 1.0)


def _leading_order(variance: float, samples: int) -> float:
    """The expected maximum of K normals taken for √(2 log K): no bound any more."""
    return (math.sqrt(variance / 2) - math.sqrt(math.log(samples))) ** 2


def _counter(sign: float) -> Any:
    """A running sum that is never set back: later calls score higher, or lower, than earlier ones."""
    calls: list[int] = []

    def faulty(log_joint: Any, proposal: Any, samples: int, **options: Any) -> Any:
        calls.append(samples)
        found = log_marginal(log_joint, proposal, samples, **options)
        return found._replace(
            log_marginal=0 * found.elbo + sign * len(calls), tail_shape=0 * found.tail_shape
        )

    return faulty


def _first_sample_only(log_joint: Any, proposal: Any, samples: int, *, generator: Any) -> Any:
    return gradients.elbo(log_joint, proposal, 1, generator=generator)


def _half_the_model(log_joint: Any, proposal: Any, samples: int, *, generator: Any) -> Any:
    return log_weights(lambda z: 0.5 * log_joint(z), proposal, samples, generator=generator).mean(0)


def _reverse_kl(data: Any, log_model: Any) -> Any:
    return (log_model.exp() * (log_model - data.log())).sum(-1)


def _truncated(joint: Any, proposal: Any) -> finite.FiniteBound:
    found = finite_bound(joint, proposal)
    return found._replace(elbo=math.trunc(1_000 * found.elbo) / 1_000)


def _not_trained(model: Any, *arguments: Any, **options: Any) -> Any:
    return model


class _Careless(Sound):
    """A posterior a little too wide, and a turn that stretches."""

    def posterior(self, x: Any) -> Any:
        right = super().posterior(x)
        return proposals.FullGaussianProposal(right.mean, 1.01 * right.tril)

    def rotated(self, rotation: Any) -> Any:
        return super().rotated(1.01 * rotation)


class _Unnormalised(Curve):
    """A density that forgets its normaliser."""

    def log_density(self, x: Any, **options: Any) -> Any:
        return super().log_density(x, **options) + 10


finite_bound, kl_to_posterior = finite.finite_bound, quadrature.kl_to_posterior
normal_log_joint = quadrature.normal_log_joint

# Several faults a run, each in the way of other claims: (faults, claims that they turn)
FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "reverse KL, no fit, 1/K for every gap, weights without 1/K, calls that lower, noise forgotten": (
        {
            "finite.kl": _reverse_kl,
            "finite.finite_bound": _truncated,
            "mixtures.fit_mixture": _not_trained,
            "gaps.exact_gaps": _gap_falls_as(1.01),
            "gaps.mean_field_weights": lambda r, **o: mean_field(r / 2, **o),
            "bounds.importance_bound": lambda log_w: torch.logsumexp(log_w.double(), 0),
            "bounds.nested_bounds": lambda log_w: nested(log_w).flip(0),
            "evaluate.log_marginal": _counter(-1),
            "gradients.elbo": _half_the_model,
            "gradients.stl": gradients.dreg,
            "gradients.dreg": gradients.iwae,
            "quadrature.normal_log_joint": _noise_forgotten,
            "quadrature.best_gaussian": lambda log_joint, start, **o: proposals.GaussianProposal(
                start.mean + 0.1, start.log_scale
            ),
            "annealed.backward_weights": lambda *a, **o: backward(*a, **o) - 50,
            "linear_gaussian.LinearGaussian": _Careless,
            "gaussian.reverse_kl_of_precisions": lambda *a: 0.0,
        },
        (
            "mle-is-kl",
            "mixture-width",
            "is-identity",
            "prior-hopeless",
            "prior-fails-on-images",
            "one-sample-value",
            "one-sample-gradient",
            "lower-bound",
            "one-run-monotone",
            "tight-at-posterior",
            "finite-example",
            "gap-prefactor",
            "exact-gap-simulated",
            "jackknife-ratio",
            "jackknife-rate",
            "narrow-exponent",
            "more-samples-cure",
            "mean-field-gap",
            "mean-field-chi",
            "mean-field-threshold",
            "log-normal-plateau",
            "log-normal-onset",
            "overestimate-rare",
            "small-noise-efficient",
            "small-noise-prior",
            "small-noise-relative",
            "small-noise-gaussian",
            "iwae-improves",
            "iwae-order",
            "better-model-worse-elbo",
            "rank-flips",
            "snr-stl",
            "snr-dreg",
            "dreg-unbiased",
            "stl-biased",
            "bdmc-upper",
            "bdmc-gap",
            "density-flags-outliers-mnist",
            "typicality-repairs",
            "rotation-keeps-density",
            "rotation-opens-gap",
        ),
    ),
    "K^-1/2 for every gap, leading order of the maximum, the jackknife taken for the bound": (
        {
            "mixtures.CurveMixture": _Unnormalised,
            "gaps.exact_gaps": _gap_falls_as(0.5),
            "gradients.iwae": _first_sample_only,
            "gradients.stl": gradients.iwae,
            "gradients.dreg": gradients.stl,
            "bounds.importance_bound": _jackknife,
            "gaps.extreme_value_gap": _leading_order,
            "gaussian.chi_square": lambda shift, scale: 2 * chi_square(shift, scale),
            "evaluate.log_marginal": _counter(1),
            "proposals.log_weights": _drawn_too_wide,
        },
        (
            "mixture-universal",
            "mixture-noise-floor",
            "naive-error-bar",
            "monotone",
            "log-normal-law",
            "extreme-value-bound",
            "gap-slope",
            "jackknife-bound",
            "variance-rate",
            "error-bar-sees-bias",
            "defensive-mixture",
            "better-model-worse-encoder",
            "averaging-is-not-iwae",
            "dreg-training",
            "snr-decoder",
            "density-flags-outliers",
        ),
    ),
    "no training, gaps from the notes, normal weights, every tail heavy, levels without noise": (
        {
            "gaps.exact_gaps": _gap_from_the_notes,
            "gaps.isotropic_weights": _far_encoder,
            "gaps.extreme_value_gap": lambda s2, k: float(exact_gaps(gaps.log_normal_weights(s2), [k])[0]),
            "gaussian.tail_shape": lambda scale: 1.0,
            "tails.pareto_shape": lambda log_tail: torch.ones_like(log_tail[0].double()),
            "proposals.log_weights": _as_if_normal,
            "gradients.iwae": _first_sample_only,
            "annealed.forward_weights": lambda *a, **o: forward(*a, **o) + 50,
            "training.fit": _not_trained,
            "training.dequantise": lambda data, generator: data,
            "training.as_it_is": training.dequantise,
            "vae.active_units": lambda means, **o: int((means.mean(0).abs() > 0.1).sum()),
        },
        (
            "encoder-needs-few",
            "gap-anchors",
            "extreme-value-rule",
            "tail-index",
            "gap-from-variance",
            "dequantised-bound",
            "raw-density-meaningless",
            "dequantised-honest",
            "iwae-active",
            "equal-evaluations",
            "snr-encoder",
            "ais-beats-encoder",
            "ais-on-vae",
            "bdmc-lower",
        ),
    ),
}
TURNED = [(claim, fault) for fault, (_, claims) in FAULTS.items() for claim in claims]


@cache
def _verdicts_with(fault: str) -> dict[str, str]:
    faults, _ = FAULTS[fault]
    return execute(SLUG, seeds=SEEDS, faults={DENSITY + name: faulty for name, faulty in faults.items()})


def test_every_claim_has_a_fault() -> None:
    assert sorted(claim for claim, _ in TURNED) == sorted(claim.id for claim in chapter(SLUG).claims)


def test_without_a_fault_every_claim_is_judged() -> None:
    assert set(sound(SLUG, seeds=SEEDS).values()) <= {"reproduced", "refuted", "inconclusive"}


@pytest.mark.parametrize(("claim", "fault"), TURNED)
def test_fault_turns_the_verdict(claim: str, fault: str) -> None:
    assert _verdicts_with(fault)[claim] != sound(SLUG, seeds=SEEDS)[claim]
