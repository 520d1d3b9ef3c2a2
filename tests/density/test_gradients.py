import math

import pytest
import torch

from kexue.density import bounds, gradients, proposals

REPLICAS = 60_000


def parts(location, shift=0.5, scale=1.2):
    """A whitened posterior N(location, 1) and one encoder a replica, so that one backward pass gives all gradients."""
    mean = torch.full((REPLICAS, 1), shift, dtype=torch.float64, requires_grad=True)
    log_scale = torch.full((REPLICAS, 1), math.log(scale), dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(REPLICAS, 1, dtype=torch.float64)
    q = proposals.GaussianProposal(mean, log_scale)
    return (lambda z: proposals.log_normal_density(z, location, zero)), q


def gradients_of(objective, samples, seed=0):
    location = torch.zeros(REPLICAS, 1, dtype=torch.float64, requires_grad=True)
    log_joint, q = parts(location)
    source = torch.Generator().manual_seed(seed)
    value = objective(log_joint, q, samples, generator=source)
    return value, torch.autograd.grad(value.sum(), [q.mean, q.log_scale, location])


@pytest.mark.parametrize("objective", [gradients.iwae, gradients.stl, gradients.dreg])
def test_the_value_is_the_bound(objective):
    value, _ = gradients_of(objective, 3)
    location = torch.zeros(REPLICAS, 1, dtype=torch.float64)
    log_joint, q = parts(location)
    source = torch.Generator().manual_seed(0)
    log_w = proposals.log_weights(log_joint, q, 3, generator=source)
    assert torch.allclose(value, bounds.importance_bound(log_w))


def far(a, b):
    """Distance of two sets of replicas in standard errors of their means."""
    return float(((a.mean() - b.mean()).abs()) / math.sqrt(float(a.var() + b.var()) / REPLICAS))


def test_dreg_is_unbiased_and_stl_is_not():
    _, reference = gradients_of(gradients.iwae, 4, seed=1)
    _, unbiased = gradients_of(gradients.dreg, 4, seed=2)
    _, biased = gradients_of(gradients.stl, 4, seed=3)
    assert all(far(a, b) < 4 for a, b in zip(reference, unbiased, strict=True))
    assert far(reference[0], biased[0]) > 10
    assert far(reference[2], biased[2]) < 4  # the model's gradient is the same


def test_one_sample_makes_all_of_them_the_elbo():
    means = [
        gradients_of(objective, 1, seed)[1][0].detach()
        for seed, objective in enumerate((gradients.elbo, gradients.iwae, gradients.stl, gradients.dreg))
    ]
    assert all(far(means[0], other) < 4 for other in means[1:])


def test_dreg_by_hand():
    mean = torch.tensor([[0.4]], dtype=torch.float64, requires_grad=True)
    q = proposals.GaussianProposal(mean, torch.zeros_like(mean))
    source = torch.Generator().manual_seed(5)
    value = gradients.dreg(lambda z: -0.5 * (z[..., 0] - 1) ** 2, q, 6, generator=source)
    value.sum().backward()
    z = q.detached().sample(6, generator=torch.Generator().manual_seed(5))[:, 0, 0]
    log_w = -0.5 * (z - 1) ** 2 + 0.5 * (z - 0.4) ** 2
    expected = (log_w.softmax(0) ** 2 * (-(z - 1) + (z - 0.4))).sum()
    assert float(mean.grad) == pytest.approx(float(expected), abs=1e-12)


def test_landing_sticks():
    """At the exact posterior the path gradient is zero for every draw; the full one is not."""
    zero = torch.zeros(100, 1, dtype=torch.float64)
    for objective, still in ((gradients.stl, True), (gradients.dreg, True), (gradients.iwae, False)):
        mean = zero.clone().requires_grad_()
        q = proposals.GaussianProposal(mean, zero)
        value = objective(
            lambda z: proposals.log_normal_density(z, zero, zero),
            q,
            5,
            generator=torch.Generator().manual_seed(0),
        )
        (gradient,) = torch.autograd.grad(value.sum(), [mean])
        assert bool((gradient.abs() < 1e-12).all()) is still


def test_analytic_divergence():
    mean, log_scale = torch.tensor([[0.3, -1.0]]).double(), torch.tensor([[0.2, -0.5]]).double()
    q = proposals.GaussianProposal(mean, log_scale)
    peer = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_scale.exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum(-1)
    assert torch.allclose(q.kl_to_standard_normal(), peer)
    source = torch.Generator().manual_seed(0)
    value = gradients.elbo_with_analytic_kl(lambda z: z.sum(-1) * 0, q, 2, generator=source)
    assert torch.allclose(value, -peer)


def test_refusals():
    q = proposals.prior_proposal(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="samples"):
        gradients.iwae(lambda z: z.sum(-1), q, 0, generator=torch.Generator())
