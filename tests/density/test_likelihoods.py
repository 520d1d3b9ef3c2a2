"""Pixel likelihoods: normalised, stable, and the released code's slips where they are asked for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.density import likelihoods
from kexue.density.likelihoods import Bernoulli, LogisticMixture


def one(mean, log_scale=-3.0):
    return torch.tensor([0.0, mean, log_scale], dtype=torch.float64).view(1, 3, 1, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([2, 4, 32, 256]),
    st.integers(1, 4),
    st.floats(0.1, 8),
    st.integers(0, 10**6),
    st.floats(-2, 2),
)
def test_the_masses_of_all_levels_sum_to_one(levels, mixtures, size, seed, bright):
    mixture = LogisticMixture(mixtures, levels)
    source = torch.Generator().manual_seed(seed)
    parameters = size * torch.randn(2, 3 * mixtures, 2, 2, generator=source, dtype=torch.float64) + bright
    table = mixture.table(parameters)
    assert float((table.sum(-1) - 1).abs().max()) < 1e-6
    assert float(table.min()) >= 0


def test_three_colours_sum_to_one_over_all_colours():
    mixture = LogisticMixture(3, 4)
    parameters = torch.randn(1, mixture.outputs(3), 1, 1, generator=torch.Generator().manual_seed(0)).double()
    grid = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64) / 3] * 3).view(64, 3, 1, 1)
    nats = mixture.log_prob(parameters.expand(64, -1, -1, -1), grid)
    assert float(nats.exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("mean", "total"), [(0.0, 1.0), (0.9, 1.127), (1.0, 1.520), (1.2, 1.984)])
def test_the_released_edge_gives_two_levels_the_tail(mean, total):
    assert float(LogisticMixture(1, 256, edge="released").table(one(mean)).sum()) == pytest.approx(
        total, abs=5e-4
    )
    assert float(LogisticMixture(1, 256).table(one(mean)).sum()) == pytest.approx(1, abs=1e-9)


def test_five_bits_are_unaffected_by_the_released_edge():
    assert float(LogisticMixture(1, 32, edge="released").table(one(1.2)).sum()) == pytest.approx(1, abs=1e-9)


def test_a_level_far_in_the_tail_keeps_a_finite_log_mass_and_gradient():
    parameters = one(-1.0, -7.0).float().requires_grad_()
    nats = LogisticMixture(1, 256).log_prob(parameters, torch.ones(1, 1, 1, 1))
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(parameters.grad).all()


def test_log_prob_and_table_agree_and_samples_follow_the_table():
    mixture = LogisticMixture(2, 8)
    source = torch.Generator().manual_seed(1)
    parameters = torch.randn(1, 6, 1, 1, generator=source).double()
    table = mixture.table(parameters)[0, 0, 0, 0]
    levels = (torch.arange(8.0, dtype=torch.float64) / 7).view(8, 1, 1, 1)
    direct = mixture.log_prob(parameters.expand(8, -1, -1, -1), levels).exp()
    assert torch.allclose(direct, table, atol=1e-12)
    drawn = mixture.sample(parameters.float().expand(40_000, -1, -1, -1), generator=source)
    share = torch.bincount((drawn.flatten() * 7).round().long(), minlength=8) / 40_000
    assert float((share - table).abs().max()) < 0.01


@pytest.mark.parametrize(("noise", "ratio"), [("tempered", 0.5), ("released", 2.0)])
def test_noise_follows_the_temperature_or_not(noise, ratio):
    mixture = LogisticMixture(1, 256, noise=noise)
    parameters = one(0.0, -4.0).float().expand(1, 3, 150, 150)
    spread = [
        float(mixture.sample(parameters, generator=torch.Generator().manual_seed(2), temperature=t).std())
        for t in (1.0, 0.5)
    ]
    assert spread[1] / spread[0] == pytest.approx(ratio, rel=0.05)


def test_colours_are_sampled_and_averaged():
    mixture = LogisticMixture(2, 256)
    parameters = torch.randn(3, mixture.outputs(3), 4, 4, generator=torch.Generator().manual_seed(3))
    for images in (mixture.sample(parameters, generator=torch.Generator()), mixture.mean(parameters)):
        assert images.shape == (3, 3, 4, 4)
        assert float(images.min()) >= 0
        assert float(images.max()) <= 1
    with pytest.raises(ValueError, match="three are not independent"):
        mixture.table(parameters)


def test_bernoulli_is_the_library_one_and_refuses_grey_images():
    logits = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(4))
    x = (logits > 0.2).float()
    want = torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(Bernoulli().log_prob(logits, x), want, atol=1e-5)
    assert torch.allclose(Bernoulli().table(logits).sum(-1), torch.ones(5, 1, 3, 3))
    assert set(Bernoulli().sample(logits, generator=torch.Generator()).unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="zeros and ones"):
        Bernoulli().log_prob(logits, x / 2)


def test_dequantised_density_bounds_the_mass():
    """A density uniform over each level's cell gives exactly the level's mass: the bound is tight."""
    source = torch.Generator().manual_seed(5)
    mass = torch.tensor([0.1, 0.2, 0.3, 0.4])
    x = torch.multinomial(mass, 1_000, replacement=True, generator=source).float() / 3
    y = likelihoods.dequantise(x, 4, generator=source)
    assert 0 <= float(y.min()) <= float(y.max()) < 1
    assert torch.equal((y * 4).floor(), (x * 3).round())
    density = mass[(y * 4).long()] * 4
    assert torch.allclose(density.log() - math.log(4), mass[(x * 3).round().long()].log(), atol=1e-6)


def test_bits_per_dimension_of_the_papers_number():
    assert likelihoods.bits_per_dimension(78.01, 784) == pytest.approx(0.1436, abs=1e-4)
    with pytest.raises(ValueError, match="dimensions must be ≥ 1"):
        likelihoods.bits_per_dimension(1.0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixtures": 0}, "mixtures must be ≥ 1"),
        ({"levels": 1}, "levels ≥ 2"),
        ({"edge": "soft"}, "edge must be exact or released"),
        ({"noise": "none"}, "noise tempered or released"),
    ],
)
def test_a_bad_mixture_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        LogisticMixture(**options)


def test_bad_channels_are_named():
    with pytest.raises(ValueError, match="channels must be 1 or 3"):
        LogisticMixture(2).outputs(2)
    with pytest.raises(ValueError, match="must have 6 or 20 channels"):
        LogisticMixture(2).log_prob(torch.zeros(1, 5, 1, 1), torch.zeros(1, 1, 1, 1))
