"""Training that is interrupted and gone on with."""

import pytest
import torch

from kexue.checkpoint import Checkpoint, Paused
from kexue.decoding.heads import SelfTerminating
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.training import fit
from kexue.decoding.transformer import Transformer

DATA = [[9, *((7 * row + place) % 8 for place in range(3 + row % 5)), 8] for row in range(50)]
MODELS = {
    "tanh": lambda: Recurrent(10, 8, 6, dropout=0.3, head=SelfTerminating(6, 8, 1e-2)),
    "lstm": lambda: Recurrent(10, 8, 6, cell="lstm", dropout=0.3),
    "transformer": lambda: Transformer(10, 8, 8, 2, 2, 20, dropout=0.3),
}


def train(name, checkpoint=None, seed=0):
    """A trained network, its losses, and the next number that PyTorch draws: the next network's dropout depends on it."""
    torch.manual_seed(seed)
    model = MODELS[name]()
    losses = fit(
        model,
        DATA,
        context=1,
        epochs=3,
        rate=1e-2,
        final_rate=1e-3,
        generator=torch.Generator().manual_seed(seed + 1),
        batch=8,
        checkpoint=checkpoint,
    )
    return model, losses, torch.rand(1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("every", [3, 7, 10])
def test_an_interrupted_training_is_bitwise_the_uninterrupted_one(name, every, tmp_path):
    straight, losses, next_number = train(name)
    path, pauses = tmp_path / "deep" / "training.pt", []
    while True:
        try:
            # Another seed: all that matters has to come from the file.
            model, found, after = train(
                name, Checkpoint(path, seconds=0.0, every=every), seed=5 if path.exists() else 0
            )
            break
        except Paused as pause:
            pauses.append(pause.step)
    assert pauses == list(range(every, 21, every))
    assert found == losses
    assert torch.equal(after, next_number)
    for key, value in straight.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert not model.training
    # Once finished it is only read, with no time at all, and what comes after it draws the same numbers.
    again, found, after = train(name, Checkpoint(path, seconds=0.0, every=1), seed=7)
    assert found == losses
    assert torch.equal(after, next_number)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in straight.state_dict().items())


def test_no_epoch_leaves_the_model_as_it_is(tmp_path):
    torch.manual_seed(0)
    model = MODELS["tanh"]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    checkpoint = Checkpoint(tmp_path / "none.pt", seconds=0.0)
    source = torch.Generator().manual_seed(0)
    assert fit(model, DATA, context=1, epochs=0, rate=1e-2, generator=source, checkpoint=checkpoint) == []
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
