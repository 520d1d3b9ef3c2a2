import math

import pytest
import torch

from kexue.density import annealed, hmc, linear_gaussian, proposals


def world(data=8, latent=3, count=12):
    source = torch.Generator().manual_seed(0)
    oracle = linear_gaussian.random_model(data, latent, 1.0, generator=source)
    x, z = oracle.sample(count, generator=source)
    return oracle, x, z, source


def test_a_step_leaves_the_density_alone():
    oracle, x, _, source = world(count=2)
    posterior = oracle.posterior(x)
    z = posterior.sample(4_000, generator=source)
    log_joint = oracle.log_joint(x)
    for _ in range(5):
        z, probability = hmc.hmc_step(
            log_joint, z, torch.full((2,), 0.2).double(), leapfrogs=4, generator=source
        )
    assert 0.5 < float(probability.mean()) <= 1
    assert torch.allclose(z.mean(0), posterior.mean, atol=0.05)
    covariance = posterior.tril @ posterior.tril.T
    assert torch.allclose(torch.cov(z[:, 0].T), covariance, atol=0.02)


def test_a_chain_that_diverges_stays():
    z = torch.ones(3, 1, 1, dtype=torch.float64)
    moved, probability = hmc.hmc_step(
        lambda z: -(z[..., 0] ** 4),
        z,
        torch.full((1,), 1e3).double(),
        leapfrogs=8,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(moved, z)
    assert not probability.any()


def test_sandwich_holds_the_truth():
    oracle, x, z, source = world()
    start = proposals.prior_proposal(z)
    truth = oracle.log_marginal(x)
    steps = annealed.tune(oracle.log_joint(x), start, 60, generator=source, leapfrogs=5)
    assert 0.5 < steps.acceptance < 0.9
    forward = annealed.forward_weights(oracle.log_joint(x), start, steps, generator=source, leapfrogs=5)
    backward = annealed.backward_weights(
        oracle.log_joint(x), start, steps, z.expand(16, -1, -1), generator=source, leapfrogs=5
    )
    below, above = annealed.lower_bound(forward) - truth, annealed.upper_bound(backward) - truth
    error = math.sqrt(12)
    assert float(below.mean()) < 3 * float(below.std()) / error
    assert float(above.mean()) > -3 * float(above.std()) / error
    assert float((above - below).mean()) < 1
    relative = torch.exp(forward - truth)  # unbiased: the mean is one
    assert float(relative.mean()) == pytest.approx(
        1, abs=4 * float(relative.std()) / math.sqrt(relative.numel())
    )


def test_from_the_posterior_to_the_posterior_nothing_is_lost():
    oracle, x, _, source = world()
    posterior = oracle.posterior(x)
    steps = annealed.tune(oracle.log_joint(x), posterior, 3, generator=source, leapfrogs=2)
    forward = annealed.forward_weights(oracle.log_joint(x), posterior, steps, generator=source, leapfrogs=2)
    assert torch.allclose(forward, oracle.log_marginal(x).expand_as(forward), atol=1e-9)


def test_one_temperature_is_importance_sampling():
    oracle, x, z, _ = world()
    start = proposals.prior_proposal(z)
    steps = annealed.StepSizes(torch.full((1, 12), 0.1).double(), 0.5)
    forward = annealed.forward_weights(
        oracle.log_joint(x), start, steps, generator=torch.Generator().manual_seed(1), chains=5
    )
    log_w = proposals.log_weights(oracle.log_joint(x), start, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(forward, log_w)


def test_schedule():
    levels = annealed.schedule(7)
    assert float(levels[0]) == 0
    assert float(levels[-1]) == 1
    assert (levels.diff() > 0).all()
    with pytest.raises(ValueError, match="temperatures"):
        annealed.schedule(0)


def test_bounds_of_equal_weights():
    log_w = torch.full((4, 2), -3.0, dtype=torch.float64)
    assert annealed.lower_bound(log_w).tolist() == pytest.approx([-3, -3])
    assert annealed.upper_bound(log_w).tolist() == pytest.approx([-3, -3])
    with pytest.raises(ValueError, match="chains"):
        annealed.tune(
            lambda z: z.sum(-1),
            proposals.prior_proposal(torch.zeros(1, 1)),
            2,
            chains=0,
            generator=torch.Generator(),
        )
