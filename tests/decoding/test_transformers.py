"""The same tokens as transformers' generate on a small random model, and the processors inside generate."""

import pytest
import torch

from kexue.decoding.beam import beam
from kexue.decoding.bounds import beam_limit, greedy_limit, nucleus_limit
from kexue.decoding.decode import decode, walk
from kexue.decoding.envelopes import post_hoc
from kexue.decoding.huggingface import Causal, from_gpt2
from kexue.decoding.processors import ConsistentTopK, ConsistentTopP, PostHocNMST
from kexue.decoding.rules import Greedy, Nucleus, TopK

transformers = pytest.importorskip("transformers")
EOS = 40


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=41,
        n_positions=256,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=EOS,
        initializer_range=0.4,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    return transformers.GPT2LMHeadModel(config).eval()


CONTEXT = torch.randint(0, 40, (24, 5), generator=torch.Generator().manual_seed(1))


def generate(model, **options):
    settings = {"max_new_tokens": 40, "pad_token_id": EOS, "attention_mask": torch.ones_like(CONTEXT)}
    return model.generate(CONTEXT, **{**settings, **options})[:, 5:]


def same(ours, theirs):
    width = min(ours.shape[1], theirs.shape[1])
    assert torch.equal(ours[:, :width], theirs[:, :width])


@pytest.mark.parametrize("make", [Causal, from_gpt2])
def test_the_law_is_the_same(gpt2, make):
    model = make(gpt2)
    tokens = torch.randint(0, 40, (4, 80), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = gpt2(tokens).logits[:, 2:-1].log_softmax(2)
    torch.testing.assert_close(walk(model, tokens[:, :3], tokens[:, 3:]), expected, atol=1e-4, rtol=1e-4)
    state, token = model.init(tokens[:, :0]), tokens[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(
            model.step(token, state)[0], gpt2(tokens[:, :1]).logits[:, 0], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("make", [Causal, from_gpt2])
def test_greedy(gpt2, make):
    same(decode(make(gpt2), CONTEXT, Greedy(), 40).tokens, generate(gpt2, do_sample=False))


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("make", [Causal, from_gpt2])
def test_beam(gpt2, width, penalty, make):
    mine = beam(make(gpt2), CONTEXT, width, 40, length_penalty=penalty)
    theirs = generate(gpt2, do_sample=False, num_beams=width, early_stopping=True, length_penalty=penalty)
    # At the horizon transformers lets unfinished prefixes compete with finished ones; those contexts are left out.
    done = mine.stopped & (theirs == EOS).any(dim=1)
    assert done.sum() > 8
    same(mine.tokens[done], theirs[done])


@pytest.mark.parametrize(
    ("rule", "options"), [(TopK(3), {"top_k": 3, "top_p": 1.0}), (Nucleus(0.6), {"top_k": 0, "top_p": 0.6})]
)
def test_the_law_that_is_sampled_from(gpt2, rule, options):
    out = gpt2.generate(
        CONTEXT,
        attention_mask=torch.ones_like(CONTEXT),
        pad_token_id=EOS,
        do_sample=True,
        max_new_tokens=1,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    model = from_gpt2(gpt2)
    logits, _ = model.step(CONTEXT[:, -1], model.init(CONTEXT[:, :-1]))
    torch.testing.assert_close(
        rule.log_law(logits, EOS).exp(), out.scores[0].softmax(1), atol=1e-4, rtol=1e-4
    )


def test_consistent_processors_keep_eos_and_the_default_top_k_throws_it_out(gpt2):
    ask = {
        "attention_mask": torch.ones_like(CONTEXT),
        "pad_token_id": EOS,
        "do_sample": True,
        "max_new_tokens": 1,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    for processor, rule in (
        (ConsistentTopK(2, EOS), TopK(2, True)),
        (ConsistentTopP(0.3, EOS), Nucleus(0.3, True)),
    ):
        out = gpt2.generate(CONTEXT, logits_processor=[processor], top_k=0, top_p=1.0, **ask)
        model = from_gpt2(gpt2)
        logits, _ = model.step(CONTEXT[:, -1], model.init(CONTEXT[:, :-1]))
        torch.testing.assert_close(
            out.scores[0].softmax(1), rule.log_law(logits, EOS).exp(), atol=1e-4, rtol=1e-4
        )
        trapped = gpt2.generate(CONTEXT, logits_processor=[processor], top_k=1, **ask)
        assert bool(trapped.scores[0][:, EOS].isneginf().any())


@pytest.mark.parametrize(
    "warper",
    [
        {"min_p": 0.9},
        {"typical_p": 0.05},
        {"epsilon_cutoff": 0.5},
        {"eta_cutoff": 0.9},
        {"top_h": 0.05},
    ],
)
def test_what_the_library_cuts_afterwards_throws_eos_out_again(gpt2, warper):
    ask = {"do_sample": True, "max_new_tokens": 1, "output_scores": True, "return_dict_in_generate": True}
    ask |= {"attention_mask": torch.ones_like(CONTEXT), "pad_token_id": EOS, "top_k": 0, "top_p": 1.0}
    for processor in (ConsistentTopK(4, EOS), ConsistentTopP(0.5, EOS)):
        kept = gpt2.generate(CONTEXT, logits_processor=[processor], **ask)
        assert bool(kept.scores[0][:, EOS].isfinite().all())
        lost = gpt2.generate(CONTEXT, logits_processor=[processor], **ask, **warper)
        assert bool(lost.scores[0][:, EOS].isneginf().any())


@pytest.fixture(scope="module")
def stuck(gpt2):
    """The same network, hardly ever at its end."""
    copy = transformers.GPT2LMHeadModel(gpt2.config).eval()
    copy.load_state_dict(gpt2.state_dict())
    copy.lm_head.weight = torch.nn.Parameter(gpt2.lm_head.weight.clone())
    copy.lm_head.weight.data[EOS] = 0.0
    return copy


@pytest.fixture(scope="module")
def flat(gpt2):
    """The same network, all of whose tokens are always equally likely."""
    copy = transformers.GPT2LMHeadModel(gpt2.config).eval()
    copy.lm_head.weight = torch.nn.Parameter(torch.zeros_like(gpt2.lm_head.weight))
    return copy


def lengths(texts, ends=(EOS,)):
    """Tokens of each text up to its first end; one more than there are for a text without an end."""
    over = torch.isin(texts, torch.tensor(ends))
    return torch.where(over.any(dim=1), over.int().argmax(dim=1), texts.shape[1]) + 1


@pytest.mark.parametrize(
    "options", [{"do_sample": False}, {"do_sample": False, "num_beams": 3}, {"do_sample": True, "top_p": 0.2}]
)
def test_post_hoc_stops_every_decoder_of_the_library(stuck, options):
    torch.manual_seed(0)
    free = generate(stuck, max_new_tokens=120, **options)
    fixed = generate(stuck, max_new_tokens=120, logits_processor=[PostHocNMST(EOS, 5, horizon=60)], **options)
    assert not bool((free == EOS).any(dim=1).all())
    assert bool((fixed[:, :62] == EOS).any(dim=1).all())


@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("penalty", [1.0, 3.0])
def test_beam_search_keeps_its_limit_with_early_stopping(stuck, flat, width, penalty):
    for model in (stuck, flat):
        stop = PostHocNMST(EOS, 5, horizon=12)
        ask = {"num_beams": width, "length_penalty": penalty, "max_new_tokens": 60, "do_sample": False}
        out = generate(model, logits_processor=[stop], early_stopping=True, **ask)
        assert int(lengths(out).max()) <= beam_limit(width, stop.epsilon) == 12 + width - 1


def test_beam_search_can_overrun_it_without(stuck):
    ask = {"num_beams": 3, "length_penalty": 3.0, "max_new_tokens": 60, "do_sample": False}
    stop = PostHocNMST(EOS, 5, horizon=12)
    limit = beam_limit(3, stop.epsilon)
    for patience in (False, "never"):  # False is the library's default
        out = generate(stuck, logits_processor=[stop], early_stopping=patience, **ask)
        assert int(lengths(out).max()) > limit


@pytest.mark.parametrize("mass", [0.3, 0.9])
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_nucleus_sampling_keeps_its_limit_up_to_temperature_one(flat, mass, temperature):
    torch.manual_seed(0)
    stop = PostHocNMST(EOS, 5, horizon=12)
    ask = {"do_sample": True, "top_k": 0, "top_p": mass, "temperature": temperature, "max_new_tokens": 80}
    out = generate(flat, logits_processor=[stop], **ask)
    assert int(lengths(out).max()) <= nucleus_limit(mass, stop.epsilon)


def test_a_high_temperature_undoes_the_limit_unless_it_comes_first(flat):
    torch.manual_seed(0)
    stop = PostHocNMST(EOS, 5, horizon=3)
    ask = {"do_sample": True, "top_k": 0, "top_p": 0.5, "max_new_tokens": 40}
    hot = generate(flat, logits_processor=[stop], temperature=4.0, **ask)
    assert int(lengths(hot).max()) > 3
    first = [transformers.TemperatureLogitsWarper(4.0), stop]
    assert int(lengths(generate(flat, logits_processor=first, temperature=1.0, **ask)).max()) <= 3


def test_typical_sampling_can_drop_an_eos_of_one_half():
    words = torch.cat([torch.full((3,), 0.3), torch.full((8000,), 0.1 / 8000)]).log()
    scores = torch.cat([words, torch.tensor([-60.0])])[None]
    law = PostHocNMST(8003, 1, epsilon=0.5)(torch.zeros(1, 1, dtype=torch.int64), scores)
    assert law[0, -1].exp() == pytest.approx(0.5)
    assert not bool(transformers.TypicalLogitsWarper(0.4)(None, law)[0, -1].isfinite())
    for warper in (
        transformers.MinPLogitsWarper(0.9),
        transformers.TopKLogitsWarper(1),
        transformers.TopPLogitsWarper(0.1),
        transformers.EpsilonLogitsWarper(0.9),
        transformers.EtaLogitsWarper(0.9),
        transformers.TopHLogitsWarper(0.1),
    ):
        assert bool(warper(None, law)[0, -1].isfinite())


def test_a_forbidden_eos_stays_forbidden(stuck):
    torch.manual_seed(0)
    limit = {"min_new_tokens": 20, "max_new_tokens": 40}
    stop = PostHocNMST(EOS, 5, horizon=6)
    assert int(lengths(generate(stuck, logits_processor=[stop], max_new_tokens=40)).max()) <= 6
    assert lengths(generate(stuck, logits_processor=[stop], **limit)).eq(21).all()
    for processor in (stop, ConsistentTopK(2, EOS), ConsistentTopP(0.3, EOS)):
        out = generate(stuck, logits_processor=[processor], do_sample=True, top_k=0, **limit)
        assert int(lengths(out).min()) >= 21
    scores = torch.randn(3, 41, generator=torch.Generator().manual_seed(3))
    scores[1, EOS] = -torch.inf
    law = stop(torch.zeros(3, 9, dtype=torch.int64), scores)
    torch.testing.assert_close(law[1], scores[1].log_softmax(0))
    torch.testing.assert_close(law[[0, 2]], post_hoc(scores[[0, 2]], 5, stop.epsilon, EOS))


@pytest.mark.parametrize(
    "processor", [PostHocNMST(EOS, 5, horizon=500), ConsistentTopK(2, EOS), ConsistentTopP(0.3, EOS)]
)
def test_a_forced_eos_stays_forced(stuck, processor):
    out = generate(stuck, logits_processor=[processor], forced_eos_token_id=EOS, max_new_tokens=10)
    assert bool((out[lengths(out) >= 10][:, 9] == EOS).all())
    assert int(lengths(out).max()) == 10
    scores = torch.full((1, 41), -torch.inf)
    scores[0, EOS] = 0.0
    law = processor(torch.zeros(1, 9, dtype=torch.int64), scores)
    torch.testing.assert_close(law, scores)


def test_several_ends_count_as_one():
    generator = torch.Generator().manual_seed(4)
    scores, ids = torch.randn(50, 12, generator=generator), torch.zeros(50, 9, dtype=torch.int64)
    ends = [7, 2, 11]
    law = PostHocNMST(ends, 5, epsilon=0.05)(ids, scores)
    plain = scores.log_softmax(1).exp()
    words = [word for word in range(12) if word not in ends]
    torch.testing.assert_close(law[:, words].exp(), plain[:, words] * 0.95**5)
    torch.testing.assert_close(law.exp().sum(1), torch.ones(50))
    chosen = torch.tensor(ends)[plain[:, ends].argmax(1)]
    assert len(set(chosen.tolist())) == 3
    torch.testing.assert_close(law.gather(1, chosen[:, None])[:, 0].exp(), law[:, ends].exp().sum(1))
    torch.testing.assert_close(PostHocNMST([7], 5, epsilon=0.05)(ids, scores), post_hoc(scores, 5, 0.05, 7))
    for kept in (ConsistentTopK(1, ends)(ids, scores), ConsistentTopP(0.1, ends)(ids, scores)):
        torch.testing.assert_close(kept[:, ends], scores.log_softmax(1)[:, ends])
        assert bool(kept[:, words].isneginf().any())


def test_one_of_several_ends_may_be_forbidden():
    scores = torch.zeros(1, 5)
    scores[0, 1] = -torch.inf
    law = PostHocNMST([1, 3], 5, epsilon=0.5)(torch.zeros(1, 5, dtype=torch.int64), scores)
    torch.testing.assert_close(law.exp(), torch.tensor([[0.125, 0.0, 0.125, 0.625, 0.125]]))


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "early_stopping": True}])
def test_equal_ends_behind_a_strong_word_stop_all_the_same(stuck, options):
    # Shared out evenly, ½ would be ¼ for each end, behind a word with nearly the other half.
    ends = [EOS, 39]
    stuck_twice = transformers.GPT2LMHeadModel(stuck.config).eval()
    stuck_twice.load_state_dict(stuck.state_dict())
    stuck_twice.lm_head.weight = torch.nn.Parameter(stuck.lm_head.weight.clone())
    stuck_twice.lm_head.weight.data[39] = 0.0
    stop = PostHocNMST(ends, 5, horizon=20)
    out = generate(stuck_twice, logits_processor=[stop], eos_token_id=ends, max_new_tokens=60, **options)
    assert int(lengths(out, ends).max()) <= beam_limit(options.get("num_beams", 1), stop.epsilon)
    free = generate(stuck_twice, eos_token_id=ends, max_new_tokens=60, **options)
    assert int(lengths(free, ends).max()) > 60


def test_a_horizon_becomes_an_epsilon():
    assert greedy_limit(PostHocNMST(EOS, 5, horizon=500).epsilon) == 500


def test_misuse_is_refused_by_name(gpt2):
    scores, ids = torch.zeros(1, 41), torch.zeros(1, 5, dtype=torch.int64)
    for make in (lambda: ConsistentTopK(0, 1), lambda: ConsistentTopK(99, 1)(ids, scores)):
        with pytest.raises(ValueError, match="k is"):
            make()
    with pytest.raises(ValueError, match="mass is"):
        ConsistentTopP(1.0, 1)
    for settings in ({}, {"epsilon": 0.1, "horizon": 5}):
        with pytest.raises(ValueError, match="want exactly one"):
            PostHocNMST(EOS, 5, **settings)
    with pytest.raises(ValueError, match="epsilon is 1"):
        PostHocNMST(EOS, 5, epsilon=1.0)
    with pytest.raises(ValueError, match="prompt is 9"):
        PostHocNMST(EOS, 9, epsilon=0.1)(ids, scores)
    for eos in (41, [3, 41]):
        for processor in (PostHocNMST(eos, 5, epsilon=0.1), ConsistentTopK(2, eos), ConsistentTopP(0.5, eos)):
            with pytest.raises(ValueError, match="eos is 41"):
                processor(ids, scores)
    with pytest.raises(ValueError, match=r"eos is \[\], want at least one"):
        ConsistentTopK(2, [])
    gpt2.config.eos_token_id, kept = None, gpt2.config.eos_token_id
    with pytest.raises(ValueError, match="eos is None"):
        Causal(gpt2)
    gpt2.config.eos_token_id = kept


@pytest.mark.usefixtures("as_a_user")
def test_a_tokenizer_without_an_end_is_refused_by_name():
    with pytest.raises(ValueError, match="eos is None, want the index"):
        PostHocNMST(None, 5, horizon=5)
