import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.density import bounds, finite, linear_gaussian, proposals, quadrature


def model(latent, seed, data=6):
    source = torch.Generator().manual_seed(seed)
    weights = torch.randn(data, latent, generator=source, dtype=torch.float64)
    mean = torch.randn(data, generator=source, dtype=torch.float64)
    return linear_gaussian.LinearGaussian(weights, mean, 0.7), source


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 99))
def test_marginal_agrees_with_torch(latent, seed):
    oracle, source = model(latent, seed)
    x, _ = oracle.sample(4, generator=source)
    covariance = oracle.weights @ oracle.weights.T + 0.49 * torch.eye(6, dtype=torch.float64)
    peer = torch.distributions.MultivariateNormal(oracle.mean, covariance)
    assert torch.allclose(oracle.log_marginal(x), peer.log_prob(x), atol=1e-9)
    posterior = oracle.posterior(x)
    peer = torch.distributions.MultivariateNormal(
        posterior.mean, precision_matrix=oracle.posterior_precision()
    )
    z = posterior.sample(3, generator=source)
    assert torch.allclose(posterior.log_prob(z), peer.log_prob(z), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 99))
def test_exact_posterior_gives_every_weight_the_marginal(latent, seed):
    oracle, source = model(latent, seed)
    x, _ = oracle.sample(4, generator=source)
    log_w = proposals.log_weights(oracle.log_joint(x), oracle.posterior(x), 7, generator=source)
    assert torch.allclose(log_w, oracle.log_marginal(x).expand(7, 4), atol=1e-10)
    assert float(log_w.var(0).max()) < 1e-20


def test_rate_is_the_mean_divergence():
    oracle, source = model(3, 0)
    x, _ = oracle.sample(20_000, generator=source)
    posterior = oracle.posterior(x)
    prior = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    divergence = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(posterior.mean, scale_tril=posterior.tril), prior
    )
    assert oracle.rate() == pytest.approx(float(divergence.mean()), abs=0.05)


def test_rotation_keeps_the_density():
    oracle, source = model(3, 1)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=source, dtype=torch.float64))[0]
    x, _ = oracle.sample(5, generator=source)
    assert torch.allclose(oracle.log_marginal(x), oracle.rotated(rotation).log_marginal(x), atol=1e-10)


def test_maximum_likelihood_is_a_maximum():
    oracle, source = model(2, 2)
    x, _ = oracle.sample(400, generator=source)
    fitted = linear_gaussian.fit_ppca(x, 2)
    best = float(fitted.log_marginal(x).sum())
    for scale in (0.95, 1.05):
        worse = linear_gaussian.LinearGaussian(fitted.weights * scale, fitted.mean, fitted.noise)
        assert float(worse.log_marginal(x).sum()) < best
        worse = linear_gaussian.LinearGaussian(fitted.weights, fitted.mean, fitted.noise * scale)
        assert float(worse.log_marginal(x).sum()) < best


def test_fitted_posterior_is_diagonal():
    source = torch.Generator().manual_seed(0)
    drawn = linear_gaussian.random_model(12, 4, 0.5, generator=source)
    precision = drawn.posterior_precision()
    assert torch.allclose(precision, torch.diag(precision.diagonal()), atol=1e-9)


def test_quadrature_agrees_with_the_linear_model():
    oracle, source = model(1, 3)
    x, _ = oracle.sample(5, generator=source)
    points = quadrature.grid(-9, 9, 1001)
    assert torch.allclose(
        quadrature.log_marginal(oracle.log_joint(x), points), oracle.log_marginal(x), atol=1e-9
    )
    matched = quadrature.moment_match(oracle.log_joint(x), points)
    assert torch.allclose(matched.mean, oracle.posterior_mean(x), atol=1e-8)
    start = proposals.GaussianProposal(matched.mean + 0.1, matched.log_scale + 0.2)
    best = quadrature.best_gaussian(oracle.log_joint(x), start)
    assert torch.allclose(best.mean, matched.mean, atol=1e-3)
    assert torch.allclose(
        quadrature.chi_square(oracle.log_joint(x), matched, points), torch.zeros(5).double(), atol=1e-6
    )


def test_finite_example():
    joint = torch.tensor([0.12, 0.32], dtype=torch.float64)
    even = finite.finite_bound(joint, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert even.weights.tolist() == pytest.approx([0.24, 0.64])
    assert even.marginal == pytest.approx(0.44)
    assert even.elbo == pytest.approx(math.log(math.sqrt(0.24 * 0.64)))
    posterior = finite.finite_bound(joint, joint / 0.44)
    assert posterior.weights.tolist() == pytest.approx([0.44, 0.44])
    assert posterior.elbo == pytest.approx(math.log(0.44))


def test_cross_entropy_is_divergence_plus_entropy():
    source = torch.Generator().manual_seed(0)
    data = torch.rand(16, generator=source, dtype=torch.float64).softmax(0)
    log_model = torch.randn(50, 16, generator=source, dtype=torch.float64).log_softmax(-1)
    difference = finite.cross_entropy(data, log_model) - finite.kl(data, log_model)
    assert float(difference.max() - difference.min()) < 1e-12
    assert float(finite.kl(data, data.log())) == pytest.approx(0, abs=1e-12)


def test_chi_square_on_the_grid_is_the_second_moment():
    oracle, source = model(1, 3)
    x, _ = oracle.sample(1, generator=source)
    wide = oracle.mean_field(x, scale=1.5)
    log_w = proposals.log_weights(oracle.log_joint(x), wide, 200_000, generator=source)
    share = float(bounds.effective_sample_size(log_w)) / 200_000
    chi_square = float(quadrature.chi_square(oracle.log_joint(x), wide, quadrature.grid(-9, 9, 1001)))
    assert share == pytest.approx(1 / (1 + chi_square), rel=0.02)


def test_refusals():
    with pytest.raises(ValueError, match="noise"):
        linear_gaussian.LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 0.0)
    with pytest.raises(ValueError, match="latent"):
        linear_gaussian.fit_ppca(torch.zeros(4, 2).double(), 2)
    with pytest.raises(ValueError, match="one for each"):
        finite.finite_bound(torch.ones(2).double(), torch.ones(2).double())
    with pytest.raises(ValueError, match="grid"):
        quadrature.grid(1, 0, 10)
