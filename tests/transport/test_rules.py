import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.transport import exact, oracle, rules, stack


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(k=1, n=8, d=3, seed=0):
    return (torch.randn(k, n, d, generator=source(seed + side)) for side in (1, 2))


EVERY = [
    rules.Rule(),
    rules.weight_clipping(0.01),
    rules.gradient_penalty(10.0),
    rules.one_sided_penalty(10.0),
    rules.zero_centred_penalty(1.0),
    rules.r1_penalty(10.0, "hinge"),
    rules.spectral_norm("least squares"),
    rules.Rule("non-saturating"),
    rules.c_transform(),
    rules.soft_c_transform(0.5),
]


def test_each_row_follows_its_own_rule():
    """Ten rules together give what each gives alone."""
    joint = rules.Rules(EVERY)
    critic = stack.StackedCritic(len(EVERY), (3, 16), generator=source())
    real, fake = pair(len(EVERY))
    together = joint.generator_loss(critic, real, fake)
    said = joint.estimate(critic, real, fake)
    for k, rule in enumerate(EVERY):
        alone, one = rules.Rules([rule]), stack.critic_of(critic, k)
        sides = real[k : k + 1], fake[k : k + 1]
        torch.testing.assert_close(alone.generator_loss(one, *sides)[0], together[k])
        torch.testing.assert_close(alone.estimate(one, *sides)[0], said[k])
        if not rule.weight or rule.at_real:  # no place of a penalty is drawn
            torch.testing.assert_close(
                alone.critic_loss(one, *sides, generator=source())[0],
                joint.critic_loss(critic, real, fake, generator=source())[k],
            )


def test_critic_losses_by_hand():
    f, g = torch.tensor([[0.5, -1.0]]), torch.tensor([[2.0, -0.3]])

    class Given(torch.nn.Module):
        def forward(self, x, rows=None):
            return torch.where((x[:, :, None] == real[0]).all(3).any(2), f.repeat(1, 2), g.repeat(1, 2))

    real, fake = pair(1, 2)
    by_hand = {
        "wasserstein": g.mean() - f.mean(),
        "non-saturating": -f.sigmoid().log().mean() - (1 - g.sigmoid()).log().mean(),
        "hinge": (1 - f).clamp(min=0).mean() + (1 + g).clamp(min=0).mean(),
        "least squares": (f - 1).square().mean() + g.square().mean(),
    }
    for objective, expected in by_hand.items():
        loss = rules.Rules([rules.Rule(objective)]).critic_loss(Given(), real, fake, generator=source())
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_penalties_of_a_linear_critic():
    """f(x) = ⟨a, x⟩ with ‖a‖ = 3 has slope 3 everywhere."""
    critic = stack.StackedCritic(5, (2,), generator=source())
    with torch.no_grad():
        critic.weights[0][:] = torch.tensor([3.0, 0.0])[:, None]
        critic.weights[0][4] /= 6
        critic.biases[0].zero_()
    named = [
        rules.gradient_penalty(2.0),
        rules.zero_centred_penalty(2.0),
        rules.r1_penalty(2.0),
        rules.one_sided_penalty(2.0),
        rules.one_sided_penalty(2.0),
    ]
    real, fake = pair(5, 8, 2)
    loss = rules.Rules(named).critic_loss(critic, real, fake, generator=source())
    bare = critic(fake).mean(1) - critic(real).mean(1)
    assert (loss - bare).tolist() == pytest.approx([8, 18, 9, 8, 0], abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
def test_semidual_is_a_bound_and_zero_gives_nearest_neighbours(n, d, seed):
    real, fake = pair(1, n, d, seed)
    f = torch.randn(1, n, generator=source(seed))
    truth = exact.wasserstein(real[0], fake[0]).value
    assert float(rules.semidual(f, real, fake)) <= truth + 1e-5
    nearest = torch.cdist(real, fake).amin(1).mean()
    assert float(rules.semidual(0 * f, real, fake)) == pytest.approx(float(nearest), abs=1e-4)
    potential = exact.wasserstein(real[0], fake[0], potentials=True).potentials.x.float()[None]
    assert float(rules.semidual(potential, real, fake)) == pytest.approx(truth, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99))
def test_soft_semidual_tends_to_the_hard_one(seed):
    real, fake = pair(2, 6, 3, seed)
    f = torch.randn(2, 6, generator=source(seed))
    hard = rules.semidual(f, real, fake)
    for epsilon in (1.0, 1e-3):
        soft = rules.soft_semidual(f, real, fake, torch.full((2,), epsilon))
        assert (soft >= hard - 1e-5).all()
        assert (soft <= hard + epsilon * math.log(6) + 1e-5).all()


def test_semidual_gradient_is_that_of_the_nearest():
    real, fake = pair(1, 5, 3)
    fake.requires_grad_()
    f = torch.randn(1, 5, generator=source())
    (gradient,) = torch.autograd.grad(rules.semidual(f, real, fake).sum(), fake)
    slow = (f.mean(1) + (torch.cdist(real, fake) - f[:, :, None]).amin(1).mean(1)).sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(slow, fake)[0])


def test_clipping_touches_its_rows_only():
    critic = stack.StackedCritic(2, (3, 4), generator=source())
    before = [parameter[1].clone() for parameter in critic.parameters()]
    rules.Rules([rules.weight_clipping(0.01), rules.Rule()]).clip_(critic)
    for parameter, kept in zip(critic.parameters(), before, strict=True):
        assert parameter[0].abs().max() <= 0.01
        torch.testing.assert_close(parameter[1], kept)


def test_overshoot():
    assert rules.penalised_value(5.0, 10.0) == 6.25
    slopes = torch.linspace(0, 3, 30_001, dtype=torch.float64)
    earned = 2 * slopes - 5 * (slopes - 1) ** 2
    assert 2 * float(slopes[earned.argmax()]) == pytest.approx(rules.penalised_value(2.0, 5.0), abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 10), st.integers(1, 4), st.integers(0, 99))
def test_exact_loss(n, d, seed):
    real, fake = pair(2, n, d, seed)
    fake.requires_grad_()
    loss = oracle.exact_loss(real, fake)
    expected = exact.wasserstein_batch(real, fake)
    assert loss.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    loss.sum().backward()
    assert fake.grad.norm(dim=2).flatten().tolist() == pytest.approx([1 / n] * 2 * n, abs=1e-5)


def test_debiased_loss():
    x = torch.randn(3, 10, 2, generator=source())
    halves = x.chunk(2, 1)
    assert oracle.debiased_loss(x, torch.cat(halves[::-1], 1)).abs().max() < 1e-5
    moved = exact.wasserstein_batch(halves[0], halves[1]).float()
    torch.testing.assert_close(oracle.debiased_loss(x, x), -2 * moved)
    with pytest.raises(ValueError, match="real must hold an even number of points, got 3"):
        oracle.debiased_loss(x[:, :3], x[:, :3])


def test_sinkhorn_against_a_peer():
    geomloss = pytest.importorskip("geomloss")
    x, y = pair(2, 20, 3)
    y = y + 1
    mine = oracle.sinkhorn_loss(x, y, epsilon=0.5, iterations=300)
    theirs = geomloss.SamplesLoss("sinkhorn", p=1, blur=0.5, scaling=0.99, backend="tensorized")(x, y)
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
    assert oracle.sinkhorn_loss(x, x).abs().max() < 1e-4
    assert oracle.sinkhorn_loss(x, y, epsilon=0.01, iterations=3_000).tolist() == pytest.approx(
        oracle.exact_loss(x, y).tolist(), abs=0.03
    )


def test_the_entropic_distance_of_a_batch_from_itself_is_the_entropy():
    """Points far apart against ε: the plan stays at home, costs nothing, and lacks log n of entropy."""
    far = 100 * torch.eye(8)[None]
    assert oracle.entropic_loss(far, far, epsilon=0.1, iterations=300).item() == pytest.approx(
        0.1 * math.log(8), rel=1e-4
    )
    assert oracle.entropic_loss(far[:, :1], far[:, 1:2]).item() == pytest.approx(100 * math.sqrt(2), rel=1e-5)


def test_debiased_loss_is_no_estimate_of_w1():
    """Gaussians one apart in 64 dimensions: a tenth, not one; and zero for equal laws."""
    x, y = (torch.randn(100, 128, 64, generator=source(side)) for side in (1, 2))
    shift = torch.nn.functional.one_hot(torch.tensor(0), 64)
    assert oracle.debiased_loss(x, y).mean().abs() < 0.03
    assert 0.05 < oracle.debiased_loss(x, y + shift).mean() < 0.2


def test_jensen_shannon():
    p = torch.tensor([0.2, 0.8], dtype=torch.float64)
    q = torch.tensor([0.5, 0.5], dtype=torch.float64)
    middle = (p + q) / 2
    expected = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    best = (p / q).log()
    on_p, on_q = best.repeat_interleave(torch.tensor([2, 8]))[None], best.repeat_interleave(5)[None]
    assert float(oracle.jensen_shannon(on_p, on_q)) == pytest.approx(float(expected))
    assert float(oracle.jensen_shannon(on_p + 1, on_q + 1)) < float(expected)


def test_refuses():
    with pytest.raises(ValueError, match=r"objective must be one of .*; got 'wgan'"):
        rules.Rule("wgan")
    with pytest.raises(ValueError, match="weight must be ≥ 0"):
        rules.gradient_penalty(-1.0)
    with pytest.raises(ValueError, match="epsilon must be > 0, got 0"):
        rules.soft_c_transform(0)
    with pytest.raises(ValueError, match="rules must hold at least one rule"):
        rules.Rules([])
    with pytest.raises(ValueError, match="weight > 0"):
        rules.penalised_value(1.0, 0.0)
    for loss in (oracle.sinkhorn_loss, oracle.entropic_loss):
        with pytest.raises(ValueError, match="iterations ≥ 1"):
            loss(torch.ones(1, 2, 2), torch.ones(1, 2, 2), iterations=0)
