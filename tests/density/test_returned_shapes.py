"""Every door through which a caller's function comes in refuses a result of another shape, and names both shapes."""

import re

import pytest
import torch

from kexue.checks import returned
from kexue.density import annealed, bitsback, evaluate, gradients, hmc, proposals, quadrature, training
from kexue.density.nvae import sampling
from kexue.density.vae import VAE, Bernoulli
from tests.density.nvae.small import images, vae

SAMPLES, BATCH, LATENT = 4, 3, 2
WRONG = {
    "mean": lambda z: right(z).mean(),
    "one an example": lambda z: right(z)[0],
    "one a sample": lambda z: right(z).mean(-1),
    "axis too many": lambda z: right(z)[..., None],
    "one row": lambda z: right(z)[:1],
    "number": lambda z: float(right(z).mean().detach()),
}


def right(z):
    return proposals.log_normal_density(z, torch.zeros(LATENT), torch.zeros(LATENT))


def source():
    return torch.Generator().manual_seed(0)


def encoder():
    return proposals.prior_proposal(torch.zeros(BATCH, LATENT))


def steps(chains):
    return annealed.StepSizes(torch.full((2, BATCH), 0.1), 0.5)


DOORS = {
    "log_weights": lambda f: proposals.log_weights(f, encoder(), SAMPLES, generator=source()),
    "log_marginal": lambda f: evaluate.log_marginal(f, encoder(), SAMPLES, generator=source()),
    "elbo": lambda f: gradients.elbo(f, encoder(), SAMPLES, generator=source()),
    "elbo_with_analytic_kl": lambda f: gradients.elbo_with_analytic_kl(
        f, encoder(), SAMPLES, generator=source()
    ),
    "iwae": lambda f: gradients.iwae(f, encoder(), SAMPLES, generator=source()),
    "stl": lambda f: gradients.stl(f, encoder(), SAMPLES, generator=source()),
    "dreg": lambda f: gradients.dreg(f, encoder(), SAMPLES, generator=source()),
    "hmc_step": lambda f: hmc.hmc_step(
        f, torch.ones(SAMPLES, BATCH, LATENT), torch.full((BATCH,), 0.1), leapfrogs=2, generator=source()
    ),
    "tune": lambda f: annealed.tune(f, encoder(), 2, generator=source(), chains=SAMPLES),
    "forward_weights": lambda f: annealed.forward_weights(
        f, encoder(), steps(SAMPLES), generator=source(), chains=SAMPLES
    ),
    "backward_weights": lambda f: annealed.backward_weights(
        f, encoder(), steps(SAMPLES), torch.ones(SAMPLES, BATCH, LATENT), generator=source()
    ),
}


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("door", DOORS)
def test_a_model_of_another_shape_is_refused(door, wrong):
    with pytest.raises(ValueError, match=r"log_\w+ must return .*shape \(\d, 3\)"):
        DOORS[door](WRONG[wrong])


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("door", DOORS)
def test_the_right_shape_passes(door):
    DOORS[door](right)


GRID = quadrature.grid(-6, 6, 50)
ON_GRID = {
    "log_marginal": lambda f: quadrature.log_marginal(f, GRID),
    "chi_square": lambda f: quadrature.chi_square(f, one_number(), GRID),
    "moment_match": lambda f: quadrature.moment_match(f, GRID),
    "kl_to_posterior": lambda f: quadrature.kl_to_posterior(f, one_number()),
    "best_gaussian": lambda f: quadrature.best_gaussian(f, one_number(), steps=2),
}


def one_number():
    return proposals.prior_proposal(torch.zeros(BATCH, 1, dtype=torch.float64))


def on_grid(z):
    return -(z[..., 0] ** 2) / 2 + torch.zeros(1, BATCH)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("door", ON_GRID)
@pytest.mark.parametrize(
    "wrong", [lambda z: on_grid(z).mean(), lambda z: on_grid(z)[0], lambda z: on_grid(z)[..., None]]
)
def test_a_model_on_a_grid_of_another_shape_is_refused(door, wrong):
    ON_GRID[door](on_grid)
    with pytest.raises(ValueError, match=r"log_joint must return shape \((50|64), (batch|3)\).*got shape"):
        ON_GRID[door](wrong)


@pytest.mark.usefixtures("as_a_user")
def test_a_decoder_of_another_shape_is_refused():
    log_joint = quadrature.normal_log_joint(torch.zeros(BATCH, 5).double(), lambda z: z, 0.5)
    with pytest.raises(ValueError, match=r"decode must return shape \(50, 1, 5\).*got shape \(50, 1, 1\)"):
        quadrature.log_marginal(log_joint, GRID)


class Careless(proposals.GaussianProposal):
    """What is easily forgotten: to sum over the latent numbers; to draw one for each example."""

    def log_prob(self, z):
        return torch.distributions.Normal(self.mean, self.log_scale.exp()).log_prob(z)

    def detached(self):
        return Careless(self.mean.detach(), self.log_scale.detach())


class Flat(proposals.GaussianProposal):
    def sample(self, count, *, generator):
        return super().sample(count, generator=generator)[:, 0]


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    "run",
    [
        lambda q: proposals.log_weights(right, q, SAMPLES, generator=source()),
        lambda q: gradients.stl(right, q, SAMPLES, generator=source()),
        lambda q: annealed.tune(right, q, 2, generator=source(), chains=SAMPLES),
        lambda q: (
            proposals.DefensiveMixture(q, q.mean, 0.5).log_prob(torch.zeros(SAMPLES, BATCH, LATENT))
            + proposals.DefensiveMixture(q, q.mean, 0.5).sample(SAMPLES, generator=source())[..., 0]
        ),
    ],
)
def test_a_proposal_of_another_shape_is_refused(run):
    zero = torch.zeros(BATCH, LATENT)
    with pytest.raises(
        ValueError, match=r"proposal.log_prob must return shape \(4, 3\).*got shape \(4, 3, 2\)"
    ):
        run(Careless(zero, zero))
    with pytest.raises(
        ValueError, match=r"proposal.sample must return shape \(4, batch, d\).*got shape \(4, 2\)"
    ):
        run(Flat(zero, zero))


@pytest.mark.usefixtures("as_a_user")
def test_a_distribution_of_torch_is_refused_with_what_to_call():
    law = torch.distributions.Normal(torch.zeros(BATCH, LATENT), torch.ones(BATCH, LATENT))
    with pytest.raises(TypeError, match=r"got Normal\(.*give GaussianProposal\(q.mean, q.stddev.log\(\)\)"):
        proposals.log_weights(right, law, SAMPLES, generator=source())
    with pytest.raises(TypeError, match="GaussianProposal"):
        evaluate.log_marginal(right, torch.distributions.Independent(law, 1), SAMPLES, generator=source())


class MeanOfPixels(Bernoulli):
    def __call__(self, x, output):
        return super().__call__(x, output).mean()


def fit(**changed):
    options = {"draw": training.as_it_is, "objective": gradients.elbo, "likelihood": Bernoulli(), **changed}
    model = VAE(6, (4,), LATENT, options["likelihood"], generator=source())
    training.fit(
        model,
        torch.ones(8, 6),
        options["objective"],
        2,
        steps=1,
        batch=BATCH,
        draw=options["draw"],
        generator=source(),
    )


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"likelihood": MeanOfPixels()}, r"likelihood must return shape \(2, 3\).*got shape \(\)"),
        (
            {"draw": lambda data, generator: data[0]},
            r"draw must return shape \(3, 6\).*got shape \(6,\)",
        ),
        (
            {"objective": lambda *a, **k: gradients.elbo(*a, **k).mean()},
            r"objective must return shape \(3,\).*got shape \(\)",
        ),
    ],
)
def test_training_refuses_functions_of_another_shape(changed, said):
    fit()
    with pytest.raises(ValueError, match=said):
        fit(**changed)


@pytest.mark.usefixtures("as_a_user")
def test_a_likelihood_of_images_of_another_shape_is_refused(tmp_path):
    model, x = vae().eval(), images(4).round()
    proper = model.likelihood
    model.likelihood = type(
        "Mean",
        (type(proper),),
        {
            "log_prob": lambda self, parameters, x: proper.log_prob(parameters, x).mean(),
            "table": lambda self, parameters: proper.table(parameters)[:1],
        },
    )()
    with pytest.raises(ValueError, match=r"likelihood.log_prob must return shape \(4,\).*got shape \(\)"):
        sampling.negative_elbo(model, x, generator=source())
    with pytest.raises(ValueError, match=r"likelihood.table must return shape \(4, 1, 8, 8, 2\)"):
        bitsback.compress(model, x, tmp_path / "file", seed=0, batch=4)


def test_what_came_is_shown_when_it_is_no_tensor():
    with pytest.raises(
        ValueError, match=re.escape("f must return a tensor of shape (3,), got 0.5 of type float")
    ):
        returned("f", 0.5, (3,), (3, 2))
