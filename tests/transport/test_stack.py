import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import convolution, stack


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2), st.integers(0, 99))
def test_rows_are_networks_of_their_own(models, inputs, layers, seed):
    network = stack.StackedMLP(models, (inputs, *[7] * layers, 3), generator=source(seed))
    x = torch.randn(models, 6, inputs, generator=source(seed + 1))
    whole = network(x)
    for k in range(models):
        y = x[k]
        for place, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            y = y @ weight[k] + bias[k]
            if place < layers:
                y = torch.nn.functional.leaky_relu(y, stack.SLOPE)
        torch.testing.assert_close(whole[k], y)
    chosen = torch.tensor([models - 1, 0])
    torch.testing.assert_close(network(x[chosen], chosen), whole[chosen])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2), st.integers(0, 99))
def test_input_gradient_is_the_derivative_and_so_is_its_derivative(models, inputs, layers, seed):
    critic = stack.StackedCritic(
        models,
        (inputs, *[7] * layers),
        generator=source(seed),
        spectral=torch.arange(models) % 2 == 0,
    ).double()
    critic._left, critic._right = (
        [side.double() for side in sides] for sides in (critic._left, critic._right)
    )
    x = torch.randn(models, 6, inputs, generator=source(seed + 1), dtype=torch.float64)
    points = x.clone().requires_grad_()
    (twice,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    once = stack.input_gradient(critic, x)
    torch.testing.assert_close(once, twice)
    for gradient in zip(
        *(torch.autograd.grad(g.square().sum(), list(critic.weights)) for g in (once, twice)), strict=True
    ):
        torch.testing.assert_close(*gradient)


def test_spectral_norm_is_one():
    critic = stack.StackedCritic(
        3, (9, 20, 20), generator=source(), spectral=torch.tensor([False, True, True])
    )
    critic.follow_spectrum(200)
    for weight, _ in critic.layers():
        norms = torch.linalg.matrix_norm(weight, ord=2)
        assert norms[1:].tolist() == pytest.approx([1, 1], abs=1e-4)
    for (weight, _), held in zip(critic.layers(), critic.weights, strict=True):
        torch.testing.assert_close(weight[0], held[0])


def test_one_critic_alone():
    critics = stack.StackedCritic(3, (4, 6), generator=source(), spectral=torch.tensor([True, False, False]))
    x = torch.randn(3, 5, 4, generator=source(1))
    alone = stack.critic_of(critics, 1)
    torch.testing.assert_close(alone(x[1:2]), critics(x)[1:2])
    before = critics(x)
    with torch.no_grad():
        alone.weights[0].zero_()
    torch.testing.assert_close(critics(x), before)
    for row in (0, 3, -1):
        with pytest.raises(
            ValueError, match=f"row must be one of 3 critics without spectral norm, got {row}"
        ):
            stack.critic_of(critics, row)


def test_refuses():
    with pytest.raises(ValueError, match="models must be at least 1, got 0"):
        stack.StackedMLP(0, (2, 1), generator=source())
    with pytest.raises(ValueError, match=r"sizes must hold at least two widths ≥ 1, got \(3, 0\)"):
        stack.StackedMLP(1, (3, 0), generator=source())
    with pytest.raises(ValueError, match="spectral must have an entry a model, got 1 for 2"):
        stack.StackedCritic(2, (3,), generator=source(), spectral=torch.tensor([True]))
    with pytest.raises(ValueError, match="multiples of 8, got \\(1, 28, 28\\)"):
        convolution.DCGANCritic((1, 28, 28), 4, generator=source())


def test_patch_critic_sees_patches_only():
    critic = convolution.PatchCritic(2, (6, 5), (8,), generator=source(), side=3)
    x = torch.randn(2, 4, 30, generator=source(1))
    direct = torch.zeros(2, 4)
    for row in range(4):
        for column in range(3):
            patch = x.view(2, 4, 6, 5)[..., row : row + 3, column : column + 3].reshape(2, 4, 9)
            direct += critic.of_patches(patch) / 12
    torch.testing.assert_close(critic(x), direct)
    gradient = stack.input_gradient(critic, x)
    points = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(critic(points).sum(), points)
    torch.testing.assert_close(gradient.detach(), expected)


def test_dcgan_shapes():
    critic = convolution.DCGANCritic((3, 16, 32), 4, generator=source())
    producer = convolution.DCGANGenerator(5, (3, 16, 32), 4, generator=source())
    made = producer(torch.randn(1, 7, 5, generator=source()))
    assert made.shape == (1, 7, 3 * 16 * 32)
    assert ((made >= 0) & (made <= 1)).all()
    assert critic(made).shape == (1, 7)
