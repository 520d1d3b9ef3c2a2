import pytest
import torch

from kexue.checkpoint import Checkpoint, Paused
from kexue.transport import classifier, convolution, oracle, rules, stack, training


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


def perceptrons(generator):
    joint = rules.Rules([rules.c_transform(), rules.spectral_norm("hinge"), rules.gradient_penalty()])
    critic = stack.StackedCritic(3, (2, 8), generator=generator, spectral=joint.spectral)
    return joint, stack.StackedMLP(3, (2, 8, 2), generator=generator), critic, 2


def convolutions(generator):
    shape = (1, 8, 8)
    critic = convolution.DCGANCritic(shape, 2, generator=generator)
    producer = convolution.DCGANGenerator(2, shape, 2, generator=generator)
    return rules.Rules([rules.gradient_penalty()]), producer, critic, 64


def trained_to(build, steps, checkpoint):
    """The state of networks and source, and what was watched, after a training with everything built anew."""
    generator = source(1)
    joint, producer, critic, size = build(generator)
    seen = training.train_gans(
        producer,
        critic,
        joint,
        lambda n: torch.rand(1, n, size, generator=generator),
        lambda n: torch.randn(1, n, 2, generator=generator),
        steps=steps,
        generator=generator,
        critic_steps=2,
        batch=8,
        watch=lambda step: (step, next(producer.parameters()).detach().sum()),
        every=2,
        checkpoint=checkpoint,
    )
    tensors = {name: held for part in (producer, critic) for name, held in part.state_dict().items()}
    spectrum = tensors.pop("_extra_state", {"left": [], "right": []})
    return tensors, [*spectrum["left"], *spectrum["right"], generator.get_state()], seen


@pytest.mark.parametrize("build", [perceptrons, convolutions])
@pytest.mark.parametrize("every", [1, 3])
def test_interrupted_and_resumed_is_as_uninterrupted(build, every, tmp_path):
    path = tmp_path / "deep" / "gan.pt"
    stops = []
    while True:
        try:
            found = trained_to(build, 7, Checkpoint(path, seconds=0, every=every))
            break
        except Paused as pause:
            stops.append((pause.step, str(pause)))
    assert [message.partition(" steps")[0] for _, message in stops] == [f"{step} of 7" for step, _ in stops]
    assert [step for step, _ in stops] == list(range(every, 7, every))
    whole = trained_to(build, 7, None)
    again = trained_to(build, 7, Checkpoint(path, seconds=0, every=every))  # nothing is left to be done
    for tensors, others, seen in (found, again):
        assert tensors.keys() == whole[0].keys()
        assert all(torch.equal(held, whole[0][name]) for name, held in tensors.items())
        assert all(torch.equal(a, b) for a, b in zip(others, whole[1], strict=True))
        assert seen == whole[2]
    assert [step for step, _ in whole[2]] == [0, 2, 4, 6, 7]
    assert [file.name for file in path.parent.iterdir()] == ["gan.pt"]


def test_a_checkpoint_carries_all_it_must(tmp_path):
    """Without the state of the source, of an optimiser or of the spectrum the resumed training would differ."""
    path = tmp_path / "gan.pt"
    with pytest.raises(Paused):
        trained_to(perceptrons, 7, Checkpoint(path, seconds=0, every=3))
    whole = trained_to(perceptrons, 7, None)[0]
    state = torch.load(path, weights_only=True)
    assert state["step"] == 3
    fresh = source(1)
    _, producer, critic, _ = perceptrons(fresh)
    for spoil in (
        lambda s: s.update(generator=source(2).get_state()),
        lambda s: s["parts"].update(of_critic=training._adam(critic, 5e-4).state_dict()),
        lambda s: s["parts"].update(of_producer=training._adam(producer, 5e-4).state_dict()),
        lambda s: s["parts"]["critic"].update(_extra_state=critic.get_extra_state()),
    ):
        spoilt = torch.load(path, weights_only=True)
        spoil(spoilt)
        other = tmp_path / "spoilt.pt"
        torch.save(spoilt, other)
        tensors, _, _ = trained_to(perceptrons, 7, Checkpoint(other, seconds=60, every=100))
        assert any(not torch.equal(held, whole[name]) for name, held in tensors.items())


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


def test_refuses(tmp_path):
    critic = stack.StackedCritic(1, (1,), generator=source())
    joint, draw = rules.Rules([rules.Rule()]), line(0.0, source())
    with pytest.raises(ValueError, match="steps must be ≥ 0, got -1"):
        training.train_critics(critic, joint, draw, draw, steps=-1, generator=source())
    with pytest.raises(ValueError, match="critic_steps must be ≥ 1, got 0"):
        training.train_gans(critic, critic, joint, draw, draw, steps=1, generator=source(), critic_steps=0)
    with pytest.raises(ValueError, match="every must be ≥ 1, got 0"):
        Checkpoint(tmp_path, seconds=1, every=0)
    with pytest.raises(ValueError, match="batch must be ≥ 1, got 0"):
        training.train_without_critic(critic, oracle.exact_loss, draw, draw, steps=1, batch=0)
