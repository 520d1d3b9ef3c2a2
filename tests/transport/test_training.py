import pytest
import torch

from kexue.transport import classifier, oracle, rules, stack, training


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def line(shift, generator):
    return lambda n: shift + torch.randn(1, n, 1, generator=generator)


def test_critics_find_a_translation():
    joint = rules.Rules([rules.gradient_penalty(10.0), rules.c_transform(), rules.weight_clipping()])
    generator = source()
    critic = stack.StackedCritic(3, (1, 32), generator=generator)
    training.train_critics(
        critic,
        joint,
        line(2.0, generator),
        line(0.0, generator),
        steps=300,
        generator=generator,
        learning_rate=5e-3,
    )
    points = torch.randn(1, 2_000, 1, generator=generator).expand(3, -1, -1)
    said = joint.estimate(critic, points[:, :200] + 2, points[:, :200]).tolist()
    assert said[0] == pytest.approx(rules.penalised_value(2.0, 10.0), abs=0.15)
    assert said[1] == pytest.approx(2.0, abs=0.05)
    assert abs(said[2]) < 0.1


def test_training_is_repeatable_and_rows_do_not_mix():
    def trained(named):
        generator = source(1)
        joint = rules.Rules(named)
        critic = stack.StackedCritic(len(named), (2, 8), generator=source(2))
        producer = stack.StackedMLP(len(named), (2, 8, 2), generator=source(3))
        seen = []
        training.train_gans(
            producer,
            critic,
            joint,
            lambda n: torch.rand(1, n, 2, generator=generator),
            lambda n: torch.randn(1, n, 2, generator=generator),
            steps=5,
            generator=source(4),
            critic_steps=2,
            batch=8,
            watch=seen.append,
            every=2,
        )
        assert seen == [0, 2, 4, 5]
        return producer.weights[0].detach()

    pair = trained([rules.c_transform(), rules.Rule()])
    torch.testing.assert_close(pair, trained([rules.c_transform(), rules.Rule()]))
    other = trained([rules.c_transform(), rules.Rule("least squares")])
    torch.testing.assert_close(pair[0], other[0])
    assert not torch.equal(pair[1], other[1])


@pytest.mark.parametrize("loss", [oracle.exact_loss, oracle.debiased_loss, oracle.sinkhorn_loss])
def test_generators_without_critic(loss):
    generator = source()
    producer = stack.StackedMLP(2, (1, 16, 1), generator=generator)
    real = lambda n: 3 + 0.5 * torch.randn(1, n, 1, generator=generator)  # noqa: E731
    latent = lambda n: torch.randn(1, n, 1, generator=generator)  # noqa: E731
    training.train_without_critic(
        producer, loss, real, latent, steps=200, models=2, batch=32, learning_rate=2e-2
    )
    made = producer(latent(500).expand(2, -1, -1))
    assert made.mean(1).flatten().tolist() == pytest.approx([3, 3], abs=0.3)


def test_classifier():
    x = torch.randn(200, 4, generator=source())
    labels = (x[:, 0] > 0).long()
    network = classifier.train_classifier(x, labels, generator=source(), steps=200, widths=(16, 8))
    assert (network(x).argmax(1) == labels).double().mean() > 0.97
    assert network.features(x).shape == (200, 8)
    assert (network.features(x) >= 0).all()
    with pytest.raises(ValueError, match="as many and some, got 0 and 0"):
        classifier.train_classifier(x[:0], labels[:0], generator=source())
    with pytest.raises(ValueError, match="classes ≥ 2"):
        classifier.Classifier(3, 1)


def test_refuses():
    critic = stack.StackedCritic(1, (1,), generator=source())
    joint, draw = rules.Rules([rules.Rule()]), line(0.0, source())
    with pytest.raises(ValueError, match="steps must be ≥ 0, got -1"):
        training.train_critics(critic, joint, draw, draw, steps=-1, generator=source())
    with pytest.raises(ValueError, match="critic_steps must be ≥ 1, got 0"):
        training.train_gans(critic, critic, joint, draw, draw, steps=1, generator=source(), critic_steps=0)
    with pytest.raises(ValueError, match="batch must be ≥ 1, got 0"):
        training.train_without_critic(critic, oracle.exact_loss, draw, draw, steps=1, batch=0)
