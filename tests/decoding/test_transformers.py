"""The same tokens as transformers' generate on a small random model, and the processors inside generate."""

import pytest
import torch

from kexue.decoding.beam import beam
from kexue.decoding.bounds import greedy_limit
from kexue.decoding.decode import decode, walk
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
    "options", [{"do_sample": False}, {"do_sample": False, "num_beams": 3}, {"do_sample": True, "top_p": 0.2}]
)
def test_post_hoc_stops_every_decoder_of_the_library(gpt2, options):
    stuck = transformers.GPT2LMHeadModel(gpt2.config).eval()
    stuck.load_state_dict(gpt2.state_dict())
    stuck.lm_head.weight = torch.nn.Parameter(gpt2.lm_head.weight.clone())
    stuck.lm_head.weight.data[EOS] = 0.0
    torch.manual_seed(0)
    free = generate(stuck, max_new_tokens=120, **options)
    fixed = generate(stuck, max_new_tokens=120, logits_processor=[PostHocNMST(EOS, 5, horizon=60)], **options)
    assert not bool((free == EOS).any(dim=1).all())
    assert bool((fixed[:, :62] == EOS).any(dim=1).all())


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
    with pytest.raises(ValueError, match="eos is 41"):
        PostHocNMST(41, 5, epsilon=0.1)(ids, scores)
    gpt2.config.eos_token_id, kept = None, gpt2.config.eos_token_id
    with pytest.raises(ValueError, match="eos is None"):
        Causal(gpt2)
    gpt2.config.eos_token_id = kept
