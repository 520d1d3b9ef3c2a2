"""Self-terminating output layers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kexue.decoding.envelopes import (
    non_monotonic_log_survival,
    post_hoc,
    self_terminating_log_survival,
    share,
    without,
)
from kexue.decoding.heads import NonMonotonic, PostHoc, SelfTerminating, Softmax

epsilons = st.floats(1e-6, 0.5)
gates = st.lists(st.floats(-20, 20), min_size=1, max_size=40)
HEADS = [
    lambda eps: SelfTerminating(6, 2, eps, bias=1.0),
    lambda eps: NonMonotonic(6, 2, eps, bias=-1.0),
    lambda eps: PostHoc(2, eps),
    lambda eps: Softmax(),
]


@given(gates, epsilons, st.sampled_from([torch.float32, torch.float64]))
def test_st_never_falls_and_respects_its_bound(gate, epsilon, dtype):
    survive = self_terminating_log_survival(torch.tensor(gate, dtype=dtype), epsilon)
    steps = torch.arange(1, len(gate) + 1, dtype=dtype)
    assert bool((survive.diff() <= 0).all())
    assert bool((survive <= steps * math.log1p(-epsilon) * (1 - 1e-4)).all())


@given(gates, epsilons)
def test_st_is_the_recursion_of_the_article(gate, epsilon):
    # p_t(eos) = 1 - alpha_t, alpha_0 = sigma(z_0), alpha_t = sigma(z_t) [1 - p_{t-1}(eos)].
    alpha, written = 1.0, []
    for z in gate:
        alpha *= (1 - epsilon) / (1 + math.exp(-z))
        written.append(alpha)
    survive = self_terminating_log_survival(torch.tensor(gate, dtype=torch.float64), epsilon)
    torch.testing.assert_close(survive.exp(), torch.tensor(written, dtype=torch.float64))


@given(gates, epsilons)
def test_nmst_is_equation_10(gate, epsilon):
    gate = torch.tensor(gate, dtype=torch.float64)
    lam, t = gate.sigmoid(), torch.arange(1, len(gate) + 1, dtype=torch.float64)
    stop = (1 - lam) * (1 - (1 - epsilon) ** t) + lam
    torch.testing.assert_close(
        1 - non_monotonic_log_survival(gate, epsilon).exp(), stop, atol=1e-12, rtol=1e-9
    )


@settings(deadline=None)
@given(st.integers(0, 3), epsilons, st.integers(0, 1000))
def test_a_head_gives_the_same_law_step_by_step_and_all_at_once(which, epsilon, seed):
    generator = torch.Generator().manual_seed(seed)
    head = HEADS[which](epsilon).double()
    for parameter in head.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    hidden = torch.randn(3, 7, 6, generator=generator, dtype=torch.float64)
    logits = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    whole = head.sequence(hidden, logits)
    torch.testing.assert_close(whole.exp().sum(dim=2), torch.ones(3, 7, dtype=torch.float64))
    state = head.init(3, hidden.device, hidden.dtype)
    for t in range(7):
        law, state = head.step(hidden[:, t], logits[:, t], state)
        torch.testing.assert_close(law.log_softmax(dim=1), whole[:, t])


def test_the_words_keep_their_softmax():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    law = share(logits, torch.full((4,), -0.7), eos=3)
    words = [0, 1, 2, 4, 5, 6, 7, 8]
    torch.testing.assert_close(law[:, words].log_softmax(dim=1), logits[:, words].log_softmax(dim=1))
    torch.testing.assert_close(law[:, 3].exp(), torch.full((4,), 1 - math.exp(-0.7)))


def test_small_stop_probabilities_survive_single_precision():
    gate = torch.tensor([30.0])
    naive = 1 - torch.sigmoid(gate) * (1 - 1e-10)
    law = share(torch.zeros(1, 4), self_terminating_log_survival(gate, 1e-10), eos=0)
    assert float(naive) == 0.0
    assert float(law[0, 0].exp()) == pytest.approx(1e-10, rel=1e-2)


def test_gradients_are_finite():
    for make in HEADS[:2]:
        head = make(1e-5)
        hidden = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
        head.sequence(hidden, torch.zeros(2, 5, 4))[..., [1, 2]].sum().backward()
        assert bool(torch.isfinite(hidden.grad).all())


def test_post_hoc_keeps_the_precision_of_the_model():
    """Whole numbers of steps times ln(1 − ε) in float64, as the whole sequence has it; float32 loses 1e-6 at t = 100."""
    logits = torch.randn(1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    law = post_hoc(logits, 100, 0.3, eos=1)
    words = without(logits, 1).logsumexp(1) - logits.logsumexp(1) + 100 * math.log1p(-0.3)
    assert float(law[:, [0, 2, 3]].logsumexp(1)) == pytest.approx(float(words), rel=1e-13)
    steps = torch.arange(1, 101)
    each = post_hoc(logits.expand(100, -1), steps, 0.3, eos=1)
    torch.testing.assert_close(each[-1:], law, rtol=1e-13, atol=0)
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        assert post_hoc(logits.to(kind), 2, 0.3, eos=1).dtype == kind


@given(st.integers(1, 500), epsilons)
def test_post_hoc_takes_the_same_share_from_every_word(step, epsilon):
    logits = torch.tensor([[1.0, 0.0, -2.0, 3.0]], dtype=torch.float64)
    before, after = logits.softmax(dim=1), post_hoc(logits, step, epsilon, eos=1).exp()
    words = [0, 2, 3]
    torch.testing.assert_close(after[:, words], before[:, words] * (1 - epsilon) ** step)
    assert float(after[0, 1]) >= float(before[0, 1])
    assert float(after.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_epsilon_outside_the_interval_is_refused_by_name(epsilon):
    for call in (
        lambda: SelfTerminating(4, 0, epsilon),
        lambda: NonMonotonic(4, 0, epsilon),
        lambda: PostHoc(0, epsilon),
        lambda: post_hoc(torch.zeros(1, 3), 1, epsilon, 0),
    ):
        with pytest.raises(ValueError, match="epsilon is"):
            call()


@pytest.mark.parametrize("make", HEADS)
def test_the_scores_of_given_tokens_are_those_of_the_whole_law_in_two_parts(make):
    source = torch.Generator().manual_seed(3)
    hidden = torch.randn(3, 7, 6, generator=source, dtype=torch.float64)
    logits = 3 * torch.randn(3, 7, 5, generator=source, dtype=torch.float64)
    targets = torch.randint(0, 5, (3, 7), generator=source)
    head = make(1e-2).double()
    law = head.sequence(hidden, logits)
    words = logits.index_fill(2, torch.tensor([2]), -torch.inf)
    word = words.log_softmax(dim=2).gather(2, targets[..., None])[..., 0].masked_fill(targets == 2, 0.0)
    decision, word = head.scores(hidden, word, logits[..., 2] - words.logsumexp(dim=2), targets == 2)
    torch.testing.assert_close(decision + word, law.gather(2, targets[..., None])[..., 0])
    stop = law[..., 2].exp()
    torch.testing.assert_close(decision.exp(), torch.where(targets == 2, stop, 1 - stop))
