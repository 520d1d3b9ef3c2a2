"""The decoding loop and beam search, against closed forms and brute force."""

import pytest
import torch

from kexue.decoding.beam import beam
from kexue.decoding.counterexamples import ConstantGate
from kexue.decoding.decode import decode, walk
from kexue.decoding.heads import NonMonotonic, SelfTerminating, Softmax
from kexue.decoding.memory import TensorMemory, peak_bytes
from kexue.decoding.ngram import Markov
from kexue.decoding.protocol import select
from kexue.decoding.recurrent import Recurrent
from kexue.decoding.rules import Ancestral, Greedy, TopK
from kexue.decoding.transformer import Transformer, attend_once


def recurrent(cell="lstm", head=None, vocabulary=11, seed=0):
    torch.manual_seed(seed)
    model = Recurrent(vocabulary, vocabulary - 1, 8, cell=cell, head=head).eval()
    model.embedding.weight.data *= 10
    return model


def transformer(seed=0, vocabulary=11, head=None):
    torch.manual_seed(seed)
    return Transformer(vocabulary, vocabulary - 1, 16, 2, 2, positions=300, head=head).eval()


MODELS = {
    "tanh": lambda: recurrent("tanh"),
    "lstm": lambda: recurrent("lstm"),
    "st": lambda: recurrent("tanh", SelfTerminating(8, 10, 1e-2)),
    "nmst": lambda: recurrent("lstm", NonMonotonic(8, 10, 1e-2)),
    "transformer": transformer,
}


@pytest.mark.parametrize("name", MODELS)
def test_stepping_gives_the_law_of_the_whole_sequence(name):
    model = MODELS[name]()
    tokens = torch.randint(0, 10, (3, 90), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = model(tokens[:, :-1], start=3)
        steps = walk(model, tokens[:, :4], tokens[:, 4:])
    torch.testing.assert_close(steps, whole[:, : steps.shape[1]], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["tanh", "lstm"])
@pytest.mark.parametrize("head", [None, NonMonotonic(8, 10, 1e-2).double()])
def test_prepared_weights_change_no_law(layers, cell, head):
    torch.manual_seed(0)
    model = Recurrent(11, 10, 8, layers=layers, cell=cell, head=head).double().eval()
    for weights in model.parameters():
        weights.data.normal_()
    quick = model.prepared(11)
    assert quick is not model
    tokens = torch.randint(0, 10, (5, 9), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        walk(quick, tokens[:, :3], tokens[:, 3:]), walk(model, tokens[:, :3], tokens[:, 3:])
    )
    assert model.prepared(10) is model


@pytest.mark.parametrize("name", MODELS)
def test_greedy_is_the_plain_loop(name):
    model = MODELS[name]()
    context = torch.randint(0, 10, (20, 3), generator=torch.Generator().manual_seed(2))
    out = decode(model, context, Greedy(), 40)
    for row in range(20):
        text = context[row : row + 1]
        with torch.no_grad():
            for _ in range(40):
                token = model(text, start=2)[:, -1].argmax(dim=1)
                text = torch.cat([text, token[:, None]], dim=1)
                if int(token) == model.eos:
                    break
        generated = text[0, 3:]
        assert int(out.lengths[row]) == len(generated)
        assert bool(out.stopped[row]) == (int(generated[-1]) == model.eos)
        assert out.tokens[row, : len(generated)].tolist() == generated.tolist()


@pytest.mark.parametrize("time", [1, 2, 37])
def test_one_query_sees_what_fused_attention_sees(time):
    source = torch.Generator().manual_seed(time)
    query, keys, values = (torch.randn(3, 2, n, 5, generator=source) for n in (1, time, time))
    roomy = torch.full((3, 2, 5, time + 9), torch.nan)  # what lies behind the text must not be read
    roomy[..., :time] = keys.transpose(2, 3)
    expected = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
    torch.testing.assert_close(attend_once(query, roomy[..., :time], values), expected)


def plain_beam(model, context, width, horizon, penalty, wanted):
    """Beam search that recomputes every prefix from scratch: no state to re-order, no batch."""
    prefixes, finished = [((), 0.0)], []
    for step in range(1, horizon + 1):
        grown = []
        for prefix, score in prefixes:
            law = walk(model, context, torch.tensor([[*prefix, 0]]))[0, -1]
            grown += [((*prefix, token), score + float(law[token])) for token in range(model.vocabulary)]
        grown.sort(key=lambda pair: -pair[1])
        ending = [pair for pair in grown[:width] if pair[0][-1] == model.eos]
        finished += [(prefix, score / step**penalty) for prefix, score in ending]
        prefixes = [pair for pair in grown if pair[0][-1] != model.eos][:width]
        if len(finished) >= wanted:
            break
    best = max(finished, key=lambda pair: pair[1]) if finished else (*prefixes[:1],)[0]
    return *best, step


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("width", "penalty", "wait_for"), [(3, 0.0, "width"), (2, 1.0, "first"), (4, 1.0, "width")]
)
def test_beam_with_re_ordered_states_is_beam_from_scratch(name, width, penalty, wait_for):
    model = MODELS[name]()
    context = torch.randint(0, 10, (6, 3), generator=torch.Generator().manual_seed(9))
    found = beam(model, context, width, 8, length_penalty=penalty, wait_for=wait_for)
    for row in range(6):
        wanted = width if wait_for == "width" else 1
        with torch.no_grad():
            tokens, score, steps = plain_beam(model, context[row : row + 1], width, 8, penalty, wanted)
        assert bool(found.stopped[row]) == (tokens[-1] == model.eos)
        assert int(found.steps[row]) == steps
        assert found.tokens[row, : int(found.lengths[row])].tolist() == list(tokens)
        if found.stopped[row]:
            assert float(found.scores[row]) == pytest.approx(score, abs=1e-4)


def test_beam_of_one_is_greedy():
    model = recurrent("lstm")
    context = torch.randint(0, 10, (30, 3), generator=torch.Generator().manual_seed(4))
    greedy, one = decode(model, context, Greedy(), 30), beam(model, context, 1, 30, wait_for="first")
    assert torch.equal(greedy.stopped, one.stopped)
    assert torch.equal(greedy.lengths, one.lengths)
    width = min(greedy.tokens.shape[1], one.tokens.shape[1])
    assert torch.equal(greedy.tokens[greedy.stopped, :width], one.tokens[one.stopped, :width])


def test_survivors_follow_the_constant_hazard():
    # p(eos) = 0.1, second of three: top-2 stops with probability 0.1 / 0.7 a step, top-1 never.
    row = torch.tensor([0.6, 0.3, 0.1])
    model = Markov(row.repeat(3, 1), eos=2)
    two = Markov(torch.tensor([0.6, 0.1, 0.3]).repeat(3, 1), eos=2)
    context = torch.zeros(20_000, 1, dtype=torch.int64)
    out = decode(two, context, TopK(2), 3, generator=torch.Generator().manual_seed(0))
    assert float(out.stopped.float().mean()) == pytest.approx(1 - (0.6 / 0.9) ** 3, abs=0.015)
    assert not decode(
        model, context[:2], TopK(2), 50, generator=torch.Generator().manual_seed(0)
    ).stopped.any()
    out = decode(model, context, Ancestral(), 200, generator=torch.Generator().manual_seed(0))
    assert float(out.lengths.float().mean()) == pytest.approx(10.0, abs=0.3)


def test_a_tail_holds_the_last_tokens():
    model = recurrent("tanh")
    context = torch.randint(0, 10, (16, 3), generator=torch.Generator().manual_seed(7))
    whole, tail = decode(model, context, Greedy(), 50), decode(model, context, Greedy(), 50, tail=8)
    assert torch.equal(whole.lengths, tail.lengths)
    assert tail.tokens.shape[1] <= 8
    for row in range(16):
        length = int(whole.lengths[row])
        expected = whole.tokens[row, max(0, length - 8) : length]
        assert tail.tokens[row, : len(expected)].tolist() == expected.tolist()


def test_a_long_horizon_needs_no_more_memory():
    model = ConstantGate(4, 1e-4)
    out = decode(model, torch.zeros(2, 1, dtype=torch.int64), Greedy(), 10_000, tail=4)
    assert out.stopped.all()
    assert out.lengths[0] <= 6_932
    assert out.tokens.shape[1] == 4


@pytest.mark.parametrize(
    "head", [Softmax(), SelfTerminating(8, 10, 1e-6, 30.0), NonMonotonic(8, 10, 1e-6, -30.0)]
)
def test_tensors_take_as_much_memory_at_any_horizon(head):
    model = recurrent("tanh", head)
    model.bias.data[10] = -60.0
    context = torch.zeros(4, 3, dtype=torch.int64)

    def peak(horizon):
        return peak_bytes(lambda: decode(model, context, Greedy(), horizon, tail=16))

    assert peak(60) == peak(400) > 4 * 16 * 8


def test_tensor_memory_counts_storages_once_and_sees_them_go():
    with TensorMemory() as memory:
        whole = torch.zeros(1_000)
        half = whole[:500]
        assert memory.live == 4_000
        del whole
        assert memory.live == 4_000
        del half
        assert memory.live == 0
        torch.ones(10)
    assert memory.peak == 4_000


@pytest.mark.parametrize("cell", ["tanh", "lstm"])
@pytest.mark.parametrize("tail", [None, 48])
def test_leaving_loops_changes_no_token(cell, tail):
    model = recurrent(cell)
    model.bias.data[10] = -0.5
    context = torch.randint(0, 10, (40, 3), generator=torch.Generator().manual_seed(11))
    stayed = decode(model, context, Greedy(), 600, tail=tail)
    steps = []
    step = model.step
    model.step = lambda token, state: (steps.append(len(token)), step(token, state))[1]
    left = decode(model, context, Greedy(), 600, tail=tail, leave_loops=True)
    assert int(stayed.stopped.sum()) == (17 if cell == "tanh" else 0)
    assert len(steps) < 600
    assert torch.equal(stayed.lengths, left.lengths)
    assert torch.equal(stayed.stopped, left.stopped)
    assert torch.equal(stayed.tokens, left.tokens)


def test_a_clock_keeps_a_row_from_leaving_and_a_rule_that_draws_is_refused():
    context = torch.zeros(3, 3, dtype=torch.int64)
    for head in (NonMonotonic(8, 10, 1e-2), SelfTerminating(8, 10, 1e-2)):
        model = recurrent("tanh", head)
        assert decode(model, context, Greedy(), 100, leave_loops=True).stopped.all()
    with pytest.raises(ValueError, match="leave_loops with TopK"):
        decode(model, context, TopK(2), 5, generator=torch.Generator(), leave_loops=True)


def test_states_are_selected_all_the_way_down():
    state = (torch.arange(3), (torch.arange(6).view(3, 2), 5), "x")
    picked = select(state, torch.tensor([2, 0]))
    assert picked[0].tolist() == [2, 0]
    assert picked[1][0].tolist() == [[4, 5], [0, 1]]
    assert picked[1][1] == 5
    assert picked[2] == "x"


def test_what_cannot_be_decoded_is_refused_by_name():
    model = recurrent()
    context = torch.zeros(1, 2, dtype=torch.int64)
    generator = torch.Generator()
    for run in (
        lambda c, m=model, h=5: decode(m, c, Greedy(), h, generator=generator),
        lambda c, m=model, h=5: beam(m, c, 2, h),
    ):
        with pytest.raises(ValueError, match="context has shape"):
            run(torch.zeros(1, 0, dtype=torch.int64))
        with pytest.raises(ValueError, match="context has shape"):
            run(torch.zeros(0, 3, dtype=torch.int64))
        with pytest.raises(ValueError, match="context holds tokens"):
            run(torch.tensor([[3, 11]]))
        with pytest.raises(ValueError, match="horizon is 0"):
            run(context, h=0)
        broken = recurrent()
        broken.bias.data[3] = torch.nan
        with pytest.raises(ValueError, match="logits of row"):
            run(context, m=broken)
        broken = recurrent()
        broken.eos = 11
        with pytest.raises(ValueError, match=r"model\.eos is 11"):
            run(context, m=broken)
    with pytest.raises(ValueError, match="width is 11"):
        beam(model, context, 11, 5)
    with pytest.raises((ValueError, TypeError), match="wait_for"):
        beam(model, context, 2, 5, wait_for="all")
    with pytest.raises(ValueError, match="tail is 0"):
        decode(model, context, Greedy(), 5, tail=0)
    with pytest.raises(ValueError, match="position 301"):
        transformer()(torch.zeros(1, 301, dtype=torch.int64))
    with pytest.raises((ValueError, TypeError), match="cell"):
        Recurrent(5, 4, 4, cell="gru")
    with pytest.raises(ValueError, match="heads is 3"):
        Transformer(5, 4, 8, 1, 3, 10)
