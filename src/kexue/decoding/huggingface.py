"""Causal models of the transformers library as language models of this package. The only module that imports it."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kexue.decoding.protocol import State
from kexue.decoding.transformer import Transformer


class Causal:
    """A ``transformers`` causal language model behind ``init`` and ``step``.

    Args:
        model: a ``PreTrainedModel`` with a language-model head, in evaluation mode.
        eos: the index of ``<eos>``; the one of the model's configuration by default.

    Raises:
        ValueError: when neither names an ``<eos>``.
    """

    def __init__(self, model: Any, eos: int | None = None) -> None:
        found = model.config.eos_token_id if eos is None else eos
        if not isinstance(found, int):
            raise ValueError(
                f"eos is {found}, want one index: the model's configuration does not name a single one"
            )
        self.model, self.eos, self.vocabulary = model, found, int(model.config.vocab_size)

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """Keys and values of the prefix, layer by layer."""
        if prefix.shape[1] == 0:
            return ()
        with torch.no_grad():
            return _unpack(self.model(input_ids=prefix, use_cache=True).past_key_values)

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """One token in, logits out; the cache grows by one place."""
        from transformers import DynamicCache

        cache = DynamicCache(state) if state else DynamicCache()
        with torch.no_grad():
            out = self.model(input_ids=token[:, None], past_key_values=cache, use_cache=True)
        return out.logits[:, -1].float(), _unpack(out.past_key_values)


def _unpack(cache: Any) -> State:
    return tuple((layer.keys, layer.values) for layer in cache.layers)


@torch.no_grad()
def from_gpt2(model: Any, eos: int | None = None) -> Transformer:
    """A ``Transformer`` of this package with the weights of a ``GPT2LMHeadModel``: same function, faster decoding.

    Args:
        model: the model; its activation must be ``gelu_new`` and its output tied to the embedding, as GPT-2's are.
        eos: the index of ``<eos>``; the one of the model's configuration by default.

    Returns:
        The copy, in evaluation mode.

    Raises:
        ValueError: for another activation.
    """
    config = model.config
    if config.activation_function != "gelu_new":
        raise ValueError(f"model uses {config.activation_function!r}, want 'gelu_new'")
    copy = Transformer(
        config.vocab_size,
        config.eos_token_id if eos is None else eos,
        config.n_embd,
        config.n_layer,
        config.n_head,
        config.n_positions,
    )
    copy.embedding.weight.copy_(model.transformer.wte.weight)
    copy.places.copy_(model.transformer.wpe.weight)
    copy.final.load_state_dict(model.transformer.ln_f.state_dict())
    for mine, theirs in zip(copy.blocks, model.transformer.h, strict=True):
        mine.before_attention.load_state_dict(theirs.ln_1.state_dict())
        mine.before_network.load_state_dict(theirs.ln_2.state_dict())
        for linear, convolution in (
            (mine.project, theirs.attn.c_attn),
            (mine.merge, theirs.attn.c_proj),
            (mine.widen, theirs.mlp.c_fc),
            (mine.narrow, theirs.mlp.c_proj),
        ):
            linear.weight.copy_(convolution.weight.T)
            linear.bias.copy_(convolution.bias)
    return copy.eval()
