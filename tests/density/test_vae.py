import math

import pytest
import torch

from kexue.density import bounds, evaluate, gradients, mixtures, proposals, quadrature, training, vae

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def small(likelihood, data=6, latent=1, seed=0, device="cpu"):
    source = torch.Generator(device).manual_seed(seed)
    return vae.VAE(data, (8,), latent, likelihood, generator=source), source


def test_bernoulli_is_that_of_torch():
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 6, generator=source)
    x = torch.bernoulli(torch.full((3, 6), 0.5), generator=source)
    peer = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    assert torch.allclose(vae.Bernoulli()(x, logits), peer, atol=1e-5)


def test_gaussian_is_that_of_torch():
    source = torch.Generator().manual_seed(0)
    output, x = torch.randn(5, 3, 12, generator=source), torch.randn(3, 6, generator=source)
    peer = torch.distributions.Normal(output[..., :6], output[..., 6:].exp()).log_prob(x).sum(-1)
    assert torch.allclose(vae.Gaussian()(x, output), peer, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_evaluation_agrees_with_quadrature(device):
    model, source = small(vae.Bernoulli(), device=device)
    model.double()
    x = torch.bernoulli(torch.full((4, 6), 0.5, device=device), generator=source).double()
    exact = (
        quadrature.log_marginal(model.log_joint(x), quadrature.grid(-9, 9, 2001)) if device == "cpu" else None
    )
    found = evaluate.log_marginal(
        model.log_joint(x),
        proposals.prior_proposal(torch.zeros(4, 1, device=device).double()),
        100_000,
        generator=source,
    )
    if exact is not None:
        assert torch.allclose(found.log_marginal, exact.detach(), atol=0.02)
    total = torch.logsumexp(
        quadrature.log_marginal(
            model.cpu().log_joint(torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6).double()),
            quadrature.grid(-9, 9, 401),
        ),
        0,
    )
    assert float(total.detach()) == pytest.approx(0, abs=1e-6)  # over the 64 images of six points


@pytest.mark.parametrize("device", DEVICES)
def test_training_raises_the_bound(device):
    model, source = small(vae.Bernoulli(), data=12, latent=2, device=device)
    pattern = torch.tensor([[0.9] * 6 + [0.1] * 6, [0.1] * 6 + [0.9] * 6], device=device).repeat(50, 1)
    x = training.binarise(pattern, source)

    def bound():
        with torch.no_grad():
            log_w = proposals.log_weights(model.log_joint(x), model.encode(x), 50, generator=source)
        return float(bounds.importance_bound(log_w).mean())

    before = bound()
    options = {
        "steps": 200,
        "batch": 20,
        "draw": training.binarise,
        "generator": source,
        "learning_rate": 0.01,
    }
    seen = list(training.train(model, pattern, gradients.dreg, 5, checkpoints=4, **options))
    assert seen == [50, 100, 150, 200]
    assert bound() > before + 2


def test_same_seed_same_model():
    states = []
    for _ in range(2):
        model, source = small(vae.Bernoulli())
        training.fit(
            model,
            torch.rand(20, 6, generator=torch.Generator().manual_seed(1)),
            gradients.iwae,
            3,
            steps=5,
            batch=7,
            draw=training.binarise,
            generator=source,
        )
        states.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*states)


def test_nan_stops_with_its_step():
    model, source = small(vae.Gaussian())
    calls = []

    def poisoned(data, generator):
        calls.append(1)
        return data * math.nan if len(calls) == 4 else data

    with pytest.raises(training.TrainingDiverged, match="nan at step 3") as caught:
        training.fit(
            model, torch.zeros(10, 6), gradients.iwae, 1, steps=9, batch=5, draw=poisoned, generator=source
        )
    assert caught.value.step == 3
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_an_epoch_sees_every_row_once():
    rows = torch.cat(list(training._batches(10, 5, 4, torch.Generator().manual_seed(0))))
    assert rows[:10].sort().values.tolist() == list(range(10))
    assert rows[10:].sort().values.tolist() == list(range(10))


def test_dequantised_density_bounds_the_probability():
    law = torch.distributions.Normal(torch.tensor(3.0, dtype=torch.float64), 0.8)
    level = torch.tensor([1.0, 3.0, 4.0], dtype=torch.float64)
    noisy = training.dequantise(level.expand(100_000, 3), torch.Generator().manual_seed(0))
    assert bool(((noisy >= level) & (noisy < level + 1)).all())
    assert bool((law.log_prob(noisy).mean(0) < (law.cdf(level + 1) - law.cdf(level)).log()).all())


def test_active_units():
    means = torch.stack([torch.linspace(-1, 1, 10), torch.zeros(10)], 1)
    assert vae.active_units(means) == 1


def test_mixture_density_is_normalised_and_learns():
    source = torch.Generator().manual_seed(0)
    model = mixtures.CurveMixture(1, 5, 0.3, generator=source)
    x = torch.linspace(-12, 12, 4_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        assert float(model.log_density(x).exp().sum() * (x[1] - x[0])) == pytest.approx(1, abs=1e-6)
    data = 2 + 0.5 * torch.randn(200, 1, generator=source, dtype=torch.float64)
    before = float(model.log_density(data).detach().mean())
    mixtures.fit_mixture(model, data, steps=100)
    assert float(model.log_density(data).detach().mean()) > before + 0.5
    fixed = mixtures.CurveMixture(1, 5, 0.3, fixed=True, generator=source)
    mixtures.fit_mixture(fixed, data, steps=3)
    assert float(fixed.log_noise.detach().exp()) == pytest.approx(0.3)


def test_mixture_in_the_plane_agrees_with_the_direct_sum():
    source = torch.Generator().manual_seed(1)
    model = mixtures.CurveMixture(2, 4, 0.4, generator=source)
    x = torch.randn(5, 2, generator=source, dtype=torch.float64)
    log_joint = quadrature.normal_log_joint(x, lambda z: model.curve(z), 0.4)
    direct = quadrature.log_marginal(log_joint, quadrature.grid(-6, 6, 256))
    assert torch.allclose(model.log_density(x), direct, atol=1e-9)


def test_refusals():
    model, source = small(vae.Bernoulli())
    with pytest.raises(ValueError, match="batch must be at most the 3 examples"):
        training.fit(
            model,
            torch.zeros(3, 6),
            gradients.iwae,
            1,
            steps=1,
            batch=4,
            draw=training.binarise,
            generator=source,
        )
    with pytest.raises(ValueError, match="latent"):
        vae.VAE(6, (8,), 0, vae.Bernoulli(), generator=source)
    with pytest.raises(ValueError, match="width"):
        mixtures.CurveMixture(1, 0, 0.3, generator=source)
