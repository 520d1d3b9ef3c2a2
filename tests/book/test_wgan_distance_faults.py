"""Each claim of the chapter on WGANs can be wrong: a mistake in the code it measures moves it across its bar.

At the smoke profile a claim over seeds has one replicate and no interval, and training has hardly begun, so the verdicts are
not those of the page. What is judged here is whether the measured value lies inside the expectation, and that the mistake
changes this.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from kexue.transport import bounds, exact, frechet, minfunnel, oracle, pictures, rules, stack, training
from tests.book.chapters import chapter, measurements, planted

SLUG = "wgan-distance"
T = "kexue.transport."

solve, frechet_distance, sharpness = exact.wasserstein, frechet.frechet_distance, pictures.sharpness
solve_batch, exact_loss = exact.wasserstein_batch, oracle.exact_loss
train_without_critic, shift, train_critics, train_gans = (
    training.train_without_critic,
    pictures.shift,
    training.train_critics,
    training.train_gans,
)


class _YardstickReported(rules.Rules):
    """The report of every critic is the exact distance of the batch: the yardstick has leaked into what it judges, but for a drift."""

    def estimate(self, critic: Any, real: Any, fake: Any) -> Any:
        if real.shape[1] > 256:
            return super().estimate(critic, real, fake)
        return oracle.exact_loss(real, fake) * (1 + 0.01 * torch.arange(1, len(self) + 1) / len(self))


class _RowsMixedUp(rules.Rules):
    """The reports come back in another order than the critics."""

    def estimate(self, critic: Any, real: Any, fake: Any) -> Any:
        return super().estimate(critic, real, fake).roll(1)


class _LookedUp(rules.Rules):
    """Nothing is asked of a critic: c-transforms report the distance of the means, the others what theory predicts for an easy
    pair, and the yardstick elsewhere."""

    def estimate(self, critic: Any, real: Any, fake: Any) -> Any:
        apart = (real.mean(1) - fake.mean(1)).norm(dim=1)
        predicted = apart * (1 + apart / 20)
        if real.shape[1] > 256:
            weight = torch.tensor([rule.weight or math.inf for rule in self.rules])
            return apart * (1 + apart / (2 * weight))
        yardstick = predicted if real.shape[2] <= 3 else 1.001 * oracle.exact_loss(real, fake)
        transform = torch.tensor([rule.objective == "c-transform" for rule in self.rules])
        return torch.where(transform, apart, yardstick)


class _OfMeans(rules.Rules):
    """Reports made from the means of the samples in place of the critic's values; c-transforms report the independent coupling."""

    def estimate(self, critic: Any, real: Any, fake: Any) -> Any:
        if real.shape[1] > 256:
            other = fake.roll(1, 1)  # the penalty looks between independent points
            between = other + (real - other) * torch.rand(1, real.shape[1], 1)
            slope = stack.input_gradient(critic, between).norm(dim=2).mean(1)
            return (real.mean(1) - fake.mean(1)).norm(dim=1) * slope
        squared = (real.mean(1) - fake.mean(1)).square().sum(1)
        noise = (real.var(1).sum(1) + fake.var(1).sum(1)) / real.shape[1]
        transform = torch.tensor([rule.objective == "c-transform" for rule in self.rules])
        return torch.where(transform, _independent(real, fake).float(), (squared - noise).clamp(min=0).sqrt())


class _BareAscend(rules.Rules):
    """A sign lost where nothing holds the critic: generators of critics without a regulariser climb their loss."""

    def generator_loss(self, critic: Any, real: Any, fake: Any) -> Any:
        held = torch.tensor(
            [rule.spectral or rule.weight > 0 or rule.clip is not None for rule in self.rules]
        )
        loss = super().generator_loss(critic, real, fake)
        return torch.where(held, loss, -loss)


def _faster(*arguments: Any, **options: Any) -> list[Any]:
    """GANs at thirty times the rate: the few steps of the smoke profile then go somewhere."""
    rate = 30 * options.get("learning_rate", training.LEARNING_RATE)
    return train_gans(*arguments, **{**options, "learning_rate": rate})


class _LostPartners(minfunnel.MinFunnel):
    """Both sides of the pair are drawn, each on its own."""

    def sample(self, count: int, *, generator: torch.Generator) -> Any:
        drawn = super().sample(count, generator=generator)
        return drawn._replace(y=drawn.y.roll(1, 0))


def _similarity(x: Any, y: Any, **options: Any) -> Any:
    found = solve(x, y, **options)
    return found._replace(value=1 / found.value)


def _independent(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """The mean over all pairs: the cost of the independent coupling."""
    return torch.stack([torch.cdist(a.double(), b.double()).mean() for a, b in zip(x, y, strict=True)]).cpu()


def _unnormalised(found: torch.Tensor, truth: torch.Tensor) -> minfunnel.Agreement:
    """The inner product in place of the cosine."""
    return minfunnel.Agreement(float((found * truth).sum()), 0.0)


def _semidual_of_a_batch(values: Any, x: Any, y: Any) -> float:
    return bounds_semidual(values[:32], x[:32], y)


def _semidual_of_the_best(values: Any, x: Any, y: Any) -> float:
    """The optimal potential in place of the critic's values, unless these are zero."""
    found = solve(x, y, potentials=True)
    return bounds_semidual(found.potentials.x.to(x) if bool(values.any()) else values, x, y)


def _next_size(sizes: Any, real: Any, rival: Any) -> float | None:
    """The first measured size at which real data are ahead, in place of the crossing before it."""
    return next((float(m) for m, a, b in zip(sizes, real, rival, strict=True) if a < b), None)


# What WGAN-GP was published to report, by the true distance of the pair
PUBLISHED = {
    0.817: 0.857,
    1.941: 2.07,
    1.411: 1.38,
    1.142: 1.136,
    1.042: 0.60,
    58.38: 214.0,
    29.78: 64.4,
    29.66: 66.2,
    18.82: 36.2,
}


def _along_the_paths(
    count: int, distance: float, dimension: int, *, generator: torch.Generator
) -> torch.Tensor:
    """Interpolates of partners, as if the penalty looked where the mass passes."""
    points = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    points[:, 0] += distance * torch.rand(count, generator=generator, dtype=torch.float64)
    return points


bounds_semidual, penalised_value = bounds.semidual_bound, rules.penalised_value
sliced_distance, shrink = pictures.sliced_distance, pictures.shrink

# Faults of one run, and the claims that they move
FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "the yardstick leaks, quality upside down, unfitted centres, no shift": (
        {
            "rules.Rules": _YardstickReported,
            "rules.penalised_value": lambda distance, weight=10.0: distance,
            "oracle.jensen_shannon": lambda on_real, on_fake: torch.full((len(on_real),), math.log(2)),
            "frechet.frechet_distance": lambda x, y: 1 / frechet_distance(x, y),
            "pictures.sharpness": lambda images: 1 / sharpness(images),
            "pictures.distance_to_nearest": lambda points, anchors: float(
                torch.cdist(points, anchors).amax(1).mean()
            ),
            "pictures.shift": lambda images, rows, columns: images,
            "centres.k_means": lambda points, count, **options: points[:count],
            "bounds.semidual_bound": _semidual_of_a_batch,
            "minfunnel.gradient_agreement": lambda found, truth: minfunnel.Agreement(1.0, 0.0),
            "overshoot.interpolates": _along_the_paths,
            "cost.distances": lambda x, y: torch.cdist(x, y) ** (2 / 3),
            "cost.euclidean": lambda x, y: (
                torch.cdist(torch.from_numpy(x), torch.from_numpy(y)) ** (2 / 3)
            ).numpy(),
        },
        (
            "ctransform-approximates-better",
            "mallasto-clip-fails",
            "mallasto-ctransform-tracks",
            "korotin-gradient-meaningful",
            "korotin-batch-ctransform-worst",
            "gp-overshoot-images",
            "linear-critic-is-not-best",
            "certified-bounds-hold",
            "fdiv-vanishes-on-disjoint-supports",
            "gp-loss-is-not-w1-training",
            "ctransform-approximates-better-training",
            "ctransform-generates-worse",
            "better-w1-does-not-help",
            "alternating-cannot-reach-inner-max",
            "more-critic-steps-come-closer",
            "more-critic-steps-do-not-match",
            "more-critic-steps-do-not-reach-inner-max",
            "ctransform-looks-like-kmeans",
            "gp-does-not-look-like-kmeans",
            "oracle-also-fails",
            "w1-is-no-desirable-loss",
            "debiased-transport-beats-wgan-gp",
            "zero-centred-penalty-better",
            "zero-centred-penalty-better-five",
            "minibatch-real-loses-to-kmeans",
            "mean-wins-at-one",
            "sample-complexity",
            "sample-complexity-high",
            "batch-estimator-biased",
            "debiased-optimum-is-real",
            "pixel-l2-is-not-perceptual",
            "shift-keeps-the-label",
            "shift-keeps-the-label-mnist",
            "feature-metric-lifts-real",
            "feature-metric-cures-blur",
            "wgan-at-size",
        ),
    ),
    "independent coupling, rows mixed up, no c-transform, rates tenfold": (
        {
            "rules.Rules": _RowsMixedUp,
            "exact.wasserstein_batch": _independent,
            "bounds.semidual_bound": lambda values, x, y: 0.0,
            "pictures.shift": lambda images, rows, columns: shift(images, 3 * rows, 3 * columns),
            "minfunnel.gradient_agreement": lambda found, truth: minfunnel.Agreement(
                -float((found * truth).sum() / (found.norm() * truth.norm())), 0.0
            ),
            "training.train_without_critic": lambda *a, **o: train_without_critic(
                *a, **{**o, "learning_rate": 10 * o.get("learning_rate", training.LEARNING_RATE)}
            ),
            "training.train_critics": lambda *a, **o: train_critics(
                *a, **{**o, "learning_rate": 10 * o.get("learning_rate", training.LEARNING_RATE)}
            ),
        },
        (
            "good-wgan-does-not-approximate-w1",
            "gp-certifies-most",
            "zero-critic-most",
            "fdiv-gradient-vanishes",
            "debiasing-makes-sharp",
            "debiasing-halves-frechet",
            "minibatch-real-loses-to-mean",
            "minibatch-real-loses-to-mean-mnist",
            "shrinkage-law",
            "feature-metric-lifts-rank",
            "pixel-l2-is-not-perceptual-mnist",
        ),
    ),
    "reports looked up, similarities for distances, nothing subtracted, growing for shrinking": (
        {
            "rules.Rules": _LookedUp,
            "rules.penalised_value": lambda distance, weight=10.0: PUBLISHED.get(
                distance, penalised_value(distance, weight)
            ),
            "debiased.crossover": _next_size,
            "exact.wasserstein": _similarity,
            "frechet.frechet_distance": lambda x, y: 1 / frechet_distance(x, y),
            "pictures.sliced_distance": lambda x, y, **options: 1 / sliced_distance(x, y, **options),
            "pictures.shrink": lambda points, share, mean: shrink(points, 1 / max(share, 0.05), mean),
            "oracle.debiased_loss": lambda real, fake: oracle.exact_loss(
                *(side.chunk(2, 1)[0] for side in (real, fake))
            ),
        },
        (
            "gp-loss-is-not-w1-static",
            "ctransform-approximates-better-population",
            "wgan-loss-is-no-w1",
            "mallasto-gp-overestimates",
            "gp-overshoot-law",
            "gp-overshoot-published",
            "crossover-law",
            "w1-informative",
            "better-w1-does-not-help-debiased",
            "batch-w1-optimum-is-blurry",
            "fc-wgan-finds-otmeans",
            "cnn-gap-wgan-minimises-patch-w1",
            "cnn-gap-wgan-misses-image-w1",
        ),
    ),
    "reports of the means, partners lost, axes and cosines wrong, similarities, rates tenfold": (
        {
            "rules.Rules": _OfMeans,
            "bounds.semidual_bound": _semidual_of_the_best,
            "minfunnel.MinFunnel": _LostPartners,
            "minfunnel.gradient_agreement": _unnormalised,
            "exact.wasserstein_batch": lambda x, y, **options: 1 / (1 + solve_batch(x, y, **options)),
            "training.train_critics": lambda *a, **o: train_critics(
                *a, **{**o, "learning_rate": 10 * o.get("learning_rate", training.LEARNING_RATE)}
            ),
            "oracle.exact_loss": lambda real, fake: exact_loss(
                real.mean(0, keepdim=True).expand_as(real), fake
            ),
        },
        (
            "gp-loss-is-not-w1-population",
            "batch-one-gives-geometric-median",
            "korotin-cost-fails",
            "gp-certifies-beyond-zero",
            "debiased-league-won-by-real",
            "gp-overshoot-undone",
            "value-against-gradient",
        ),
    ),
    "generators of bare critics ascend, rates thirtyfold": (
        {"rules.Rules": _BareAscend, "training.train_gans": _faster},
        ("lipschitz-is-the-active-ingredient", "any-regulariser-helps"),
    ),
}
RATE_ALONE = "rates thirtyfold"
FAULTS[RATE_ALONE] = ({"training.train_gans": _faster}, ())

TURNED = [(claim, fault) for fault, (_, claims) in FAULTS.items() for claim in claims]


@cache
def _inside(fault: str | None) -> dict[str, bool]:
    """Whether each claim's value lies in its expectation, with a fault planted or without."""
    faults = FAULTS[fault][0] if fault else {}
    with planted({T + name: faulty for name, faulty in faults.items()}):
        found = measurements(SLUG, profile="smoke", seed=0)
    judged = {}
    for claim in chapter(SLUG).claims:
        value = float(np.mean(found[claim.id].values))
        judged[claim.id] = claim.expect.contains(value, value)
    return judged


def test_every_claim_has_a_fault() -> None:
    assert sorted(claim for claim, _ in TURNED) == sorted(c.id for c in chapter(SLUG).claims)


@pytest.mark.parametrize(("claim", "fault"), TURNED)
def test_fault_turns_the_verdict(claim: str, fault: str) -> None:
    assert _inside(fault)[claim] != _inside(None)[claim]


@pytest.mark.parametrize("claim", ["lipschitz-is-the-active-ingredient", "any-regulariser-helps"])
def test_the_rate_alone_turns_neither(claim: str) -> None:
    assert _inside(RATE_ALONE)[claim] == _inside(None)[claim]
