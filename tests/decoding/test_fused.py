"""Hand-written backward passes and dropout, against what they stand for."""

import pytest
import torch

from kexue.decoding import fused
from kexue.decoding.recurrent import Recurrent


def numbers(*shape, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("eos", [0, 2, 6])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 256])
def test_word_scores_are_those_of_the_plain_softmax(eos, biased, rows, monkeypatch):
    monkeypatch.setattr(fused, "ROWS", rows)
    top, weight, bias = numbers(3, 3, 5), numbers(7, 5, seed=1), numbers(7, seed=2) if biased else None
    targets = torch.tensor([[0, 1, 2], [3, 4, 5], [6, eos, 0]])
    word, lead = fused.word_scores(top, weight, bias, targets, eos)
    logits = torch.nn.functional.linear(top, weight, bias)
    words = logits.index_fill(2, torch.tensor([eos]), -torch.inf)
    plain = words.log_softmax(dim=2).gather(2, targets[..., None])[..., 0].masked_fill(targets == eos, 0.0)
    torch.testing.assert_close(word, plain)
    torch.testing.assert_close(lead, logits[..., eos] - words.logsumexp(dim=2))
    with torch.no_grad():
        again = fused.word_scores(top, weight, bias, targets, eos)
    assert torch.equal(again[0], word)
    assert torch.equal(again[1], lead)
    inputs = [part for part in (top, weight, bias) if part is not None]
    assert torch.autograd.gradcheck(
        lambda *parts: fused.word_scores(*parts, *([] if biased else [None]), targets, eos), inputs
    )


def test_word_scores_of_large_logits_do_not_overflow():
    top, weight = torch.full((1, 2), 100.0), torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])
    word, lead = fused.word_scores(top, weight, None, torch.tensor([1]), 2)
    assert word.tolist() == [-400.0]
    assert lead.tolist() == [0.0]


@pytest.mark.parametrize("time", [1, 2, 6])
def test_a_tanh_layer_has_the_gradient_of_its_recurrence(time):
    drive, weight = numbers(time, 2, 4), numbers(4, 4, seed=1)
    assert torch.autograd.gradcheck(fused.tanh_layer, (drive, weight))


def test_the_network_is_pytorchs_own():
    torch.manual_seed(0)
    model = Recurrent(30, 29, 8, layers=3).double().eval()
    tokens = torch.randint(0, 29, (4, 12), generator=torch.Generator().manual_seed(1))
    plain, _ = model.network(model.embedding(tokens))
    torch.testing.assert_close(model.top(tokens, 2), plain[:, 2:])
    weights = list(model.network.parameters())
    direction = numbers(4, 10, 8, seed=2)
    mine = torch.autograd.grad((model.top(tokens, 2) * direction).sum(), weights)
    theirs = torch.autograd.grad((plain[:, 2:] * direction).sum(), weights)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_drops_its_share(share):
    torch.manual_seed(0)
    layer, ones = fused.Dropout(share), torch.ones(401, 997)
    out = layer(ones)
    assert float((out == 0).double().mean()) == pytest.approx(share, abs=0.004)
    assert float(out.double().mean()) == pytest.approx(1.0, abs=0.006)
    assert len(out.unique()) == 2
    # Four numbers share a random word: neighbours must be independent all the same.
    dropped = (out.flatten() == 0).double()
    for lag in (1, 2, 3, 4):
        together = float((dropped[:-lag] * dropped[lag:]).mean())
        assert together == pytest.approx(share**2, abs=0.004)
    assert torch.equal(layer.eval()(ones), ones)
    assert torch.equal(fused.Dropout(0.0)(ones), ones)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused_by_name(share):
    with pytest.raises(ValueError, match="share is"):
        fused.Dropout(share)
