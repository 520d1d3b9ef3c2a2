"""Critics, generators, losses, samplers and features of another shape are refused; both shapes are named."""

import pytest
import torch
from torch import nn

from kexue.transport import oracle, rules, stack, training

MODELS, POINTS, DIMENSION, LATENT = 2, 6, 3, 4
pytestmark = pytest.mark.usefixtures("as_a_user")


def source():
    return torch.Generator().manual_seed(0)


def points(width=DIMENSION, models=MODELS):
    return torch.randn(models, POINTS, width, generator=source())


class Critic(nn.Module):
    """A plain critic, and what is easily forgotten at its end."""

    def __init__(self, end=lambda values: values[..., 0]):
        super().__init__()
        self.layer, self.end = nn.Linear(DIMENSION, 1), end

    def forward(self, x, rows=None):
        return self.end(self.layer(x))


class Steep(Critic):
    def input_gradient(self, x, rows=None):
        return torch.ones(x.shape[:2])


WRONG = {
    "last axis kept": (lambda values: values, r"\(2, (6|12), 1\)"),
    "mean over points": (lambda values: values.mean((1, 2)), r"\(2,\)"),
    "mean over all": (lambda values: values.mean(), r"\(\)"),
    "first model alone": (lambda values: values[:1, :, 0], r"\(1, (6|12)\)"),
}
DOORS = {
    "estimate": lambda made: made.both.estimate(made.critic, points(), points()),
    "critic_loss": lambda made: made.both.critic_loss(made.critic, points(), points(), generator=source()),
    "generator_loss": lambda made: made.both.generator_loss(made.critic, points(), points()),
    "values": lambda made: stack.values(made.critic, points()),
    "input_gradient": lambda made: stack.input_gradient(made.critic, points()),
}


class Made:
    def __init__(self, end=lambda values: values[..., 0]):
        self.critic = Critic(end)
        self.both = rules.Rules([rules.gradient_penalty(), rules.c_transform()])


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("door", DOORS)
def test_a_critic_of_another_shape_is_refused(door, wrong):
    DOORS[door](Made())
    end, shape = WRONG[wrong]
    with pytest.raises(
        ValueError, match=rf"critic must return shape \(2, (6|12)\) .*\(2, (6|12), 3\); got shape {shape}"
    ):
        DOORS[door](Made(end))


def test_a_critic_with_a_wrong_gradient_of_its_own_is_refused():
    with pytest.raises(ValueError, match=r"input_gradient must return shape \(2, 6, 3\).*got shape \(2, 6\)"):
        stack.input_gradient(Steep(), points())


def test_an_output_that_changes_the_shape_is_refused():
    network = stack.StackedMLP(MODELS, (DIMENSION, 2), generator=source(), output=lambda x: x.mean(1))
    with pytest.raises(ValueError, match=r"output must return shape \(2, 6, 2\).*got shape \(2, 2\)"):
        network(points())


def draw(width, models=1):
    return lambda count: torch.randn(models, count, width, generator=source())


class Producer(nn.Module):
    def __init__(self, end=lambda made: made):
        super().__init__()
        self.layer, self.end = nn.Linear(LATENT, DIMENSION), end

    def forward(self, z):
        return self.end(self.layer(z))


def critics(**changed):
    options = {"real": draw(DIMENSION), "fake": draw(DIMENSION, MODELS), **changed}
    made = Made()
    training.train_critics(
        made.critic, made.both, options["real"], options["fake"], steps=1, batch=POINTS, generator=source()
    )


def gans(**changed):
    options = {"real": draw(DIMENSION), "latent": draw(LATENT), "producer": Producer(), **changed}
    made = Made()
    training.train_gans(
        options["producer"],
        made.critic,
        made.both,
        options["real"],
        options["latent"],
        steps=1,
        batch=POINTS,
        generator=source(),
    )


def alone(**changed):
    options = {
        "real": draw(DIMENSION),
        "latent": draw(LATENT),
        "producer": Producer(),
        "loss": oracle.exact_loss,
        **changed,
    }
    training.train_without_critic(
        options["producer"],
        options["loss"],
        options["real"],
        options["latent"],
        steps=1,
        models=MODELS,
        batch=POINTS,
    )


@pytest.mark.parametrize(
    ("train", "changed", "said"),
    [
        (critics, {"real": lambda n: torch.ones(n, DIMENSION)}, r"draw_real .*\(2, 6, d\).*\(6, 3\)"),
        (critics, {"fake": draw(DIMENSION, 3)}, r"draw_fake .*\(2, 6, d\).*\(3, 6, 3\)"),
        (critics, {"fake": lambda n: torch.ones(1, 2 * n, 3)}, r"draw_fake .*\(1, 6, d\).*\(1, 12, 3\)"),
        (gans, {"real": lambda n: torch.ones(n, DIMENSION)}, r"draw_real .*\(2, 6, d\).*\(6, 3\)"),
        (gans, {"latent": lambda n: torch.ones(n, LATENT)}, r"draw_latent .*\(2, 6, d\).*\(6, 4\)"),
        (gans, {"producer": Producer(lambda x: x[0])}, r"producer .*\(2, 6, d\).*\(6, 3\)"),
        (gans, {"producer": Producer(lambda x: x[:, :1])}, r"producer .*\(2, 6, d\).*\(2, 1, 3\)"),
        (alone, {"loss": lambda x, y: oracle.exact_loss(x, y).mean()}, r"loss .*\(2,\).*shape \(\)"),
        (alone, {"producer": Producer(lambda x: x[..., :1])}, r"producer .*\(2, 6, 3\).*\(2, 6, 1\)"),
        (alone, {"latent": lambda n: torch.ones(n, LATENT)}, r"draw_latent .*\(2, 6, d\).*\(6, 4\)"),
    ],
)
def test_training_refuses_what_has_another_shape(train, changed, said):
    train()
    with pytest.raises(ValueError, match=said):
        train(**changed)
