"""The relative posterior and its KL, against torch.distributions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from kexue.density.nvae import normal

moderate = st.floats(-3, 3)


def heads(seed=0, count=100_000):
    return torch.randn(4, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def truth(mean, log_scale, shift, log_ratio):
    return kl_divergence(Normal(mean + shift, (log_scale + log_ratio).exp()), Normal(mean, log_scale.exp()))


def test_residual_kl_is_torch_distributions():
    mean, log_scale, shift, log_ratio = heads()
    q, kl = normal.posterior((shift, log_ratio), (mean, log_scale), "residual")
    want = truth(mean, log_scale, shift, log_ratio)
    assert float(((kl - want).abs() / want.clamp(min=1e-3)).max()) < 1e-10
    assert torch.allclose(kl, normal.kl_normal(q, normal.prior(mean, log_scale, "residual")), atol=1e-9)


def test_both_known_miscopies_are_caught():
    mean, log_scale, shift, log_ratio = heads()
    want = truth(mean, log_scale, shift, log_ratio)
    scale, ratio = log_scale.exp(), log_ratio.exp()
    first = 0.5 * ((shift / scale) ** 2 + scale + ratio - 2 * log_ratio - 1)
    second = 0.5 * ((shift / scale) ** 2 + ratio**2 - 2 * log_scale - 1)
    for miscopy in (first, second):
        assert float((miscopy - want).abs().mean()) > 0.1


@given(moderate, moderate, moderate, moderate, moderate)
def test_kl_is_non_negative_and_blind_to_the_priors_mean(mean, moved, log_scale, shift, log_ratio):
    values = [torch.tensor([v], dtype=torch.float64) for v in (mean, moved, log_scale, shift, log_ratio)]
    kls = [normal.posterior((values[3], values[4]), (m, values[2]), "residual")[1] for m in values[:2]]
    assert torch.equal(*kls)
    assert float(kls[0]) >= -1e-12


def test_zero_heads_are_the_prior():
    zero = torch.zeros(3)
    q, kl = normal.posterior((zero, zero), (torch.ones(3), torch.ones(3)), "residual")
    assert torch.equal(q.mean, torch.ones(3))
    assert torch.equal(kl, zero)


def test_released_first_prior_floor_and_intended_scale():
    released = normal.prior(torch.zeros(1), torch.zeros(1), "released")
    assert float(released.scale) == pytest.approx(1.01)
    tiny = normal.prior(torch.zeros(1), torch.tensor([-100.0]), "released")
    assert float(tiny.scale) == pytest.approx(0.0167, abs=1e-4)
    intended = normal.prior(torch.zeros(1), torch.tensor([0.05]).log(), "released")
    assert float(intended.scale) == pytest.approx(0.0785, abs=5e-4)


@pytest.mark.parametrize("parameterisation", normal.PARAMETERISATIONS)
def test_closed_kl_agrees_with_sampling(parameterisation):
    prior_heads, post = (
        (torch.tensor([0.4]), torch.tensor([0.3])),
        (torch.tensor([-0.8]), torch.tensor([-0.5])),
    )
    p = normal.prior(*prior_heads, parameterisation)
    q, kl = normal.posterior(post, prior_heads, parameterisation)
    wide = normal.Normal(q.mean.expand(200_000), q.scale.expand(200_000))
    z = normal.draw(wide, generator=torch.Generator().manual_seed(1))
    difference = normal.log_density(z, wide) - normal.log_density(z, p)
    error = float(difference.std()) / 200_000**0.5
    assert abs(float(difference.mean()) - float(kl)) < 4 * error


def test_log_density_is_torch_distributions_and_temperature_scales():
    of = normal.Normal(torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0]))
    z = torch.tensor([1.0, 2.0])
    assert torch.allclose(normal.log_density(z, of), Normal(of.mean, of.scale).log_prob(z))
    drawn = [
        normal.draw(of, generator=torch.Generator().manual_seed(2), temperature=t) - of.mean
        for t in (1.0, 0.5)
    ]
    assert torch.allclose(drawn[1], 0.5 * drawn[0])


def test_unknown_parameterisation_is_named():
    with pytest.raises(ValueError, match="residual, absolute, released; got 'relative'"):
        normal.posterior((torch.zeros(1),) * 2, (torch.zeros(1),) * 2, "relative")
