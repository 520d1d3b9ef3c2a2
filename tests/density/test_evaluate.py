import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro.ops.stats import fit_generalized_pareto

from kexue.density import bounds, evaluate, linear_gaussian, proposals, tails

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def setting(device="cpu", scale=1.2, latent=3):
    source = torch.Generator(device).manual_seed(0)
    oracle = linear_gaussian.random_model(8, latent, 0.8, generator=source)
    x, _ = oracle.sample(5, generator=source)
    return oracle, x, oracle.mean_field(x, shift=0.3, scale=scale), source


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("samples", [1, 2, 37, 1000])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_streaming_changes_nothing(device, samples, block):
    oracle, x, q, source = setting(device)
    drawn = []

    class Recorded(proposals.GaussianProposal):
        def sample(self, count, *, generator):
            drawn.append(super().sample(count, generator=generator))
            return drawn[-1]

    recorded = Recorded(q.mean, q.log_scale)
    found = evaluate.log_marginal(oracle.log_joint(x), recorded, samples, generator=source, block=block)
    z = torch.cat(drawn)
    assert len(z) == samples
    log_w = oracle.log_joint(x)(z) - q.log_prob(z)
    assert torch.allclose(found.log_marginal, bounds.importance_bound(log_w), atol=1e-10)
    assert torch.allclose(found.elbo, log_w.mean(0), atol=1e-10)
    assert torch.allclose(found.effective_samples, bounds.effective_sample_size(log_w), atol=1e-6)
    if samples >= 30:
        tail = log_w.topk(min(evaluate.TAIL, tails.tail_length(samples) + 1), dim=0).values
        assert torch.allclose(found.tail_shape, tails.pareto_shape(tail), atol=1e-10)
    else:
        assert found.tail_shape.isnan().all()


def test_exact_posterior():
    oracle, x, _, source = setting()
    found = evaluate.log_marginal(oracle.log_joint(x), oracle.posterior(x), 500, generator=source)
    assert torch.allclose(found.log_marginal, oracle.log_marginal(x), atol=1e-10)
    assert torch.allclose(found.effective_samples, torch.full((5,), 500.0).double())


def test_many_samples_are_near_the_truth():
    oracle, x, q, source = setting()
    found = evaluate.log_marginal(oracle.log_joint(x), q, 200_000, generator=source)
    assert torch.allclose(found.log_marginal, oracle.log_marginal(x), atol=0.02)


def test_heavy_tails_warn_and_light_ones_do_not():
    oracle, x, q, source = setting(scale=0.4, latent=1)
    with pytest.warns(evaluate.TailWarning, match=r"of 5 examples .* 1/K"):
        evaluate.log_marginal(oracle.log_joint(x), q, 20_000, generator=source)
    oracle, x, q, source = setting(scale=1.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate.log_marginal(oracle.log_joint(x), q, 20_000, generator=source)


def test_impossible_samples_count_as_nothing():
    def log_joint(z):
        inside = z[..., 0] > 0
        return torch.where(inside, -0.5 * z[..., 0] ** 2 - proposals.HALF_LOG_TWO_PI, -math.inf)

    source = torch.Generator().manual_seed(0)
    prior = proposals.prior_proposal(torch.zeros(2, 1, dtype=torch.float64))
    found = evaluate.log_marginal(log_joint, prior, 20_000, generator=source, block=64)
    assert found.log_marginal.tolist() == pytest.approx([math.log(0.5)] * 2, abs=0.03)


def test_nan_is_refused_with_its_sample():
    source = torch.Generator().manual_seed(0)
    prior = proposals.prior_proposal(torch.zeros(2, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"nan for example 0 at sample 0"):
        evaluate.log_marginal(lambda z: z[..., 0] * math.nan, prior, 10, generator=source)
    with pytest.raises(ValueError, match="samples"):
        evaluate.log_marginal(lambda z: z[..., 0], prior, 0, generator=source)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 1.2), st.integers(0, 20), st.floats(-50, 50))
def test_pareto_shape_is_that_of_the_peer(shape, seed, scale):
    uniform = torch.rand(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_tail = scale - shape * uniform.log()
    excess = torch.exp(log_tail - log_tail.min()).sort().values[1:] - 1
    peer, _ = fit_generalized_pareto(excess)
    assert float(tails.pareto_shape(log_tail[:, None])[0]) == pytest.approx(float(peer), abs=1e-6)


def test_pareto_shape_finds_the_truth():
    uniform = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = torch.tensor([0.2, 0.5, 0.9])
    found = tails.pareto_shape((-shape * uniform.log()).topk(425, dim=0).values)
    assert torch.allclose(found, shape.double(), atol=0.15)
    assert float(tails.pareto_shape(torch.zeros(10, 1))[0]) == -math.inf
    with pytest.raises(ValueError, match="at least 6"):
        tails.pareto_shape(torch.zeros(5, 1))


def test_memory_does_not_grow_with_samples():
    sizes = []

    class Watched(proposals.GaussianProposal):
        def sample(self, count, *, generator):
            sizes.append(count)
            return super().sample(count, generator=generator)

    q = Watched(torch.zeros(4, 2), torch.zeros(4, 2))
    source = torch.Generator().manual_seed(0)
    evaluate.log_marginal(lambda z: -(z**2).sum(-1), q, 50_000, generator=source, block=4096)
    assert max(sizes) * 8 <= 4096
    assert sum(sizes) == 50_000


def test_defensive_mixture_is_a_density():
    q = proposals.GaussianProposal(torch.zeros(1, 1).double() + 0.5, torch.zeros(1, 1).double() - 1)
    mixture = proposals.DefensiveMixture(q, q.mean, 0.1)
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None, None]
    density = mixture.log_prob(z).exp()[:, 0]
    assert float(density.sum() * (z[1] - z[0])) == pytest.approx(1, abs=1e-9)
    drawn = mixture.sample(100_000, generator=torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(0.45, abs=0.01)
    with pytest.raises(ValueError, match="share"):
        proposals.DefensiveMixture(q, q.mean, 1.0)
