"""Every public function that takes or makes tensors does on a GPU what it does on the CPU, and leaves the result there."""

import importlib
import inspect
import pkgutil
from types import SimpleNamespace

import pytest
import torch

import kexue.transport
from kexue.transport import (
    bounds,
    centres,
    certified,
    classifier,
    convolution,
    cost,
    ctransform,
    debiased,
    exact,
    frechet,
    minfunnel,
    oracle,
    overshoot,
    pictures,
    rules,
    stack,
    training,
)

CPU = torch.device("cpu")
WITHOUT_A_DEVICE = {  # numbers or arrays in, numbers or arrays out, whatever the machine
    "cost.euclidean",
    "debiased.crossover",
}


def inputs(device):
    """The same numbers on any device."""
    source = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64).to(device)

    return SimpleNamespace(
        x=draw(60, 20),
        y=draw(60, 20),
        f=draw(60),
        g=draw(60),
        stacks=(draw(3, 8, 20), draw(3, 8, 20)),
        values=(draw(3, 8), draw(3, 8)),
        images=draw(5, 6, 6),
        labels=(torch.arange(60) % 3).to(device),
    )


def at(device, seed=1):
    return torch.Generator(device).manual_seed(seed)


def funnel(device):
    return minfunnel.MinFunnel(5, 3, generator=at(device))


def networks(device):
    source = at(device)
    joint = rules.Rules([rules.gradient_penalty(), rules.c_transform(), rules.spectral_norm()], device)
    critic = stack.StackedCritic(3, (20, 8), generator=source, spectral=joint.spectral)
    return joint, critic, stack.StackedMLP(3, (4, 8, 20), generator=source), source


def trained_gans(device):
    joint, critic, producer, source = networks(device)
    held = inputs(device)
    training.train_gans(
        producer,
        critic,
        joint,
        lambda n: held.x[None, :n].float(),
        lambda n: torch.randn(1, n, 4, generator=source, device=device),
        steps=2,
        generator=source,
        critic_steps=2,
        batch=8,
    )
    return [*critic.parameters(), *producer.parameters()]


def trained_critics(device):
    joint, critic, _, source = networks(device)
    held = inputs(device)
    x, y = held.x.float(), held.y.float()
    training.train_critics(
        critic, joint, lambda n: x[None, :n], lambda n: y[None, :n], steps=2, generator=source, batch=8
    )
    return list(critic.parameters())


def trained_alone(device):
    _, _, producer, source = networks(device)
    x = inputs(device).x.float()
    training.train_without_critic(
        producer,
        oracle.exact_loss,
        lambda n: x[None, :n],
        lambda n: torch.randn(1, n, 4, generator=source, device=device),
        steps=2,
        models=3,
        batch=8,
    )
    return list(producer.parameters())


def convolved(device):
    source = at(device)
    points = inputs(device).images.reshape(1, 5, 36).float()
    patch = convolution.PatchCritic(1, (6, 6), (4,), generator=source)
    return [patch(points), patch.input_gradient(points)]


def dcgan(device):
    source = at(device)
    made = convolution.DCGANGenerator(4, (1, 8, 8), 2, generator=source)(
        torch.randn(1, 3, 4, generator=source, device=device)
    )
    return [made, convolution.DCGANCritic((1, 8, 8), 2, generator=source)(made)]


def losses(device):
    joint, critic, _, source = networks(device)
    x, y = (side.float() for side in inputs(device).stacks)
    joint.clip_(critic)
    return [
        joint.estimate(critic, x, y),
        joint.generator_loss(critic, x, y),
        joint.critic_loss(critic, x, y, generator=source),
    ]


def labelled(device):
    held = inputs(device)
    network = classifier.train_classifier(
        held.x.float(), held.labels, generator=at(device), steps=3, widths=(8, 4)
    )
    return [network(held.x.float()), network.features(held.x.float())]


def sampled(device):
    return debiased.from_pool(inputs(device).x)(10, at(CPU))


def gaussians(device):
    held = inputs(device)
    x, y = held.x, held.y
    return frechet.gaussian_distance(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())


# on the same inputs, the same results
ALIKE = {
    "bounds.steepest_slope": lambda i: bounds.steepest_slope(i.f, i.x),
    "bounds.lipschitz_bound": lambda i: bounds.lipschitz_bound(i.f, i.g, i.x, i.y),
    "bounds.semidual_bound": lambda i: bounds.semidual_bound(i.f, i.x, i.y),
    "centres.geometric_median": lambda i: centres.geometric_median(i.x),
    "centres.k_means": lambda i: centres.k_means(i.x, 4, seed=0),
    "centres.k_medians": lambda i: centres.k_medians(i.x, 4, seed=0, rounds=3),
    "centres.ot_means": lambda i: centres.ot_means(i.x, 4, seed=0, rounds=2).centres,
    "certified.certified_wasserstein": lambda i: [
        (found := certified.certified_wasserstein(i.x, i.y)).lower,
        found.upper,
        found.potentials.x,
        found.potentials.y,
    ],
    "cost.distances": lambda i: cost.distances(i.x, i.y),
    "ctransform.c_transform": lambda i: ctransform.c_transform(i.f, i.x, i.y),
    "ctransform.soft_c_transform": lambda i: ctransform.soft_c_transform(i.f, i.x, i.y, 0.1),
    "debiased.from_pool": lambda i: sampled(i.x.device),
    "debiased.intrinsic_dimension": lambda i: debiased.intrinsic_dimension(i.x),
    "exact.wasserstein": lambda i: [
        (found := exact.wasserstein(i.x, i.y, coupling=True, potentials=True)).value,
        found.coupling.columns,
        found.coupling.mass,
        found.coupling.dense(60, 60),
        found.potentials.x,
        found.potentials.y,
    ],
    "exact.wasserstein_batch": lambda i: exact.wasserstein_batch(*i.stacks).to(i.x.device),
    "frechet.gaussian_distance": lambda i: gaussians(i.x.device),
    "frechet.frechet_distance": lambda i: frechet.frechet_distance(i.x, i.y),
    "frechet.frechet_floor": lambda i: frechet.frechet_floor(i.x, 25, repeats=2, generator=at(CPU)).to(
        i.x.device
    ),
    "minfunnel.gradient_agreement": lambda i: list(minfunnel.gradient_agreement(i.x, i.y)),
    "oracle.exact_loss": lambda i: oracle.exact_loss(*i.stacks),
    "oracle.debiased_loss": lambda i: oracle.debiased_loss(*i.stacks),
    "oracle.entropic_loss": lambda i: oracle.entropic_loss(*i.stacks),
    "oracle.sinkhorn_loss": lambda i: oracle.sinkhorn_loss(*i.stacks),
    "oracle.jensen_shannon": lambda i: oracle.jensen_shannon(*i.values),
    "overshoot.best_cubic": lambda i: list(overshoot.best_cubic(1.0, 1.0, i.x)),
    "pictures.sharpness": lambda i: pictures.sharpness(i.images),
    "pictures.diversity": lambda i: pictures.diversity(i.x),
    "pictures.distance_to_nearest": lambda i: pictures.distance_to_nearest(i.x, i.y),
    "pictures.blur": lambda i: pictures.blur(i.images, 0.7),
    "pictures.shrink": lambda i: pictures.shrink(i.x, 0.5, i.y.mean(0)),
    "pictures.keep_components": lambda i: pictures.keep_components(i.x, 3, i.y),
    "pictures.shift": lambda i: pictures.shift(i.images, 1, -2),
    "pictures.patches": lambda i: pictures.patches(i.images),
    "rules.semidual": lambda i: rules.semidual(i.values[0], *i.stacks),
    "rules.soft_semidual": lambda i: rules.soft_semidual(i.values[0], *i.stacks, i.f[:3].abs() + 0.1),
}
# randomness of the device itself: the same results again, on the device
REPEATABLE = {
    "classifier.Classifier": labelled,
    "classifier.train_classifier": labelled,
    "convolution.PatchCritic": convolved,
    "convolution.DCGANCritic": dcgan,
    "convolution.DCGANGenerator": dcgan,
    "minfunnel.MinFunnel": lambda device: [
        *(drawn := (pair := funnel(device)).sample(20, generator=at(device))),
        pair.potential(drawn.x),
        pair.gradient(drawn.x),
    ],
    "overshoot.interpolates": lambda device: overshoot.interpolates(20, 1.0, 3, generator=at(device)),
    "pictures.sliced_distance": lambda device: pictures.sliced_distance(
        inputs(device).x, inputs(device).y, generator=at(device)
    ),
    "rules.Rules": losses,
    "stack.StackedMLP": lambda device: networks(device)[2](torch.ones(3, 5, 4, device=device)),
    "stack.StackedCritic": lambda device: networks(device)[1](torch.ones(3, 5, 20, device=device)),
    "stack.critic_of": lambda device: stack.critic_of(networks(device)[1], 1)(
        torch.ones(1, 5, 20, device=device)
    ),
    "stack.values": lambda device: stack.values(networks(device)[1], torch.ones(3, 5, 20, device=device)),
    "stack.input_gradient": lambda device: stack.input_gradient(
        networks(device)[1], torch.ones(3, 5, 20, device=device)
    ),
    "training.train_critics": trained_critics,
    "training.train_gans": trained_gans,
    "training.train_without_critic": trained_alone,
}


def parts(found):
    return found if isinstance(found, list) else [found]


def compare(here, there, device):
    assert len(parts(here)) == len(parts(there)) > 0
    for a, b in zip(parts(here), parts(there), strict=True):
        if isinstance(a, torch.Tensor):
            assert b.device.type == device.type
            assert torch.isfinite(b).all()
            torch.testing.assert_close(b.detach().cpu(), a.detach().cpu(), rtol=1e-5, atol=1e-6)
        else:
            assert b == pytest.approx(a, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ALIKE)
def test_a_gpu_computes_what_the_cpu_does(name, gpu):
    compare(ALIKE[name](inputs(CPU)), ALIKE[name](inputs(gpu)), gpu)


@pytest.mark.parametrize("name", REPEATABLE)
def test_a_gpu_repeats_itself(name, gpu):
    compare(REPEATABLE[name](gpu), REPEATABLE[name](gpu), gpu)


@pytest.mark.parametrize("name", ALIKE)
def test_the_comparison_runs_here(name):
    """What is skipped without a GPU must at least not be broken: the CPU compared with itself."""
    compare(ALIKE[name](inputs(CPU)), ALIKE[name](inputs(CPU)), CPU)


@pytest.mark.parametrize("name", REPEATABLE)
def test_the_repetition_runs_here(name):
    compare(REPEATABLE[name](CPU), REPEATABLE[name](CPU), CPU)


def test_nothing_public_is_left_out():
    public = set()
    for found in pkgutil.iter_modules(kexue.transport.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"kexue.transport.{found.name}")
        for name, held in vars(module).items():
            if name.startswith("_") or getattr(held, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(held) or (
                inspect.isclass(held) and inspect.isfunction(vars(held).get("__init__"))
            ):
                said = str(inspect.signature(held))
                if (
                    "Tensor" in said
                    or "Generator" in said
                    or "device" in said
                    or "Sampler" in said
                    or "critics" in said
                    or (inspect.isclass(held) and issubclass(held, torch.nn.Module))
                ):
                    public.add(f"{found.name}.{name}")
    assert public - WITHOUT_A_DEVICE == set(ALIKE) | set(REPEATABLE)
