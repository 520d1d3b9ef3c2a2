"""The decoding loop: batched, finished rows leave, any horizon."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from kexue.decoding.protocol import LanguageModel, check_context, check_horizon, check_model, select
from kexue.decoding.rules import Rule


@dataclass(frozen=True)
class Decoded:
    """What came out of a decoder.

    Attributes:
        tokens: generated tokens, ``<eos>`` included and repeated behind it; the last ``tail`` ones when the caller
            asked for a tail (then a row that stopped early holds what it generated last).
        lengths: tokens generated, ``<eos>`` included; the horizon for a row that did not stop.
        stopped: True where ``<eos>`` came within the horizon.
    """

    tokens: Int[Tensor, "batch length"]
    lengths: Int[Tensor, " batch"]
    stopped: Bool[Tensor, " batch"]


@torch.no_grad()
def decode(
    model: LanguageModel,
    context: Int[Tensor, "batch context"],
    rule: Rule,
    horizon: int,
    *,
    generator: torch.Generator | None = None,
    tail: int | None = None,
) -> Decoded:
    """Generate until ``<eos>``, for at most ``horizon`` tokens.

    Rows that have stopped are compacted away, so the cost follows the rows that are still alive. With ``tail`` the
    memory does not depend on the horizon as long as the model's state does not.

    Args:
        model: the language model.
        context: tokens, shape (batch, context), at least one column.
        rule: the decoder.
        horizon: L, the largest number of generated tokens, ``<eos>`` included.
        generator: where random rules draw from.
        tail: keep only the last ``tail`` tokens of each row.

    Returns:
        Tokens, lengths, and which rows stopped.

    Raises:
        ValueError: for an empty context, tokens outside the vocabulary, a vocabulary without ``<eos>``, a horizon
            below 1, NaN logits.

    Source: kexue.fm/archives/7500; Welleck et al. 2020, section 2.
    """
    check_model(model)
    check_context(context, model.vocabulary)
    check_horizon(horizon)
    if tail is not None and tail < 1:
        raise ValueError(f"tail is {tail}, want at least 1 token or None")
    batch, device = context.shape[0], context.device
    kept = horizon if tail is None else min(tail, horizon)
    tokens = torch.full((batch, min(kept, 64)), model.eos, dtype=torch.int64, device=device)
    lengths = torch.full((batch,), horizon, dtype=torch.int64, device=device)
    stopped = torch.zeros(batch, dtype=torch.bool, device=device)
    rows = torch.arange(batch, device=device)
    state, token = model.init(context[:, :-1]), context[:, -1]
    for step in range(horizon):
        logits, state = model.step(token, state)
        token = rule.choose(logits, model.eos, generator)
        slot = step % kept
        if slot >= tokens.shape[1]:
            grown = min(kept, 2 * tokens.shape[1]) - tokens.shape[1]
            tokens = torch.cat([tokens, tokens.new_full((batch, grown), model.eos)], dim=1)
        tokens[rows, slot] = token
        alive = token != model.eos
        if bool(alive.all()):
            continue
        ended = rows[~alive]
        lengths[ended], stopped[ended] = step + 1, True
        survivors = alive.nonzero().squeeze(1)
        rows, token, state = rows[survivors], token[survivors], select(state, survivors)
        if rows.numel() == 0:
            break
    if tail is not None:
        tokens = _unroll(tokens, lengths)
    return Decoded(tokens[:, : int(lengths.max())], lengths, stopped)


def _unroll(ring: Int[Tensor, "batch kept"], lengths: Int[Tensor, " batch"]) -> Int[Tensor, "batch kept"]:
    """Turn ring buffers into sequences in time order."""
    kept = ring.shape[1]
    start = torch.where(lengths > kept, lengths % kept, torch.zeros_like(lengths))
    order = (start[:, None] + torch.arange(kept, device=ring.device)) % kept
    return ring.gather(1, order)


def walk(
    model: LanguageModel, context: Int[Tensor, "batch context"], tokens: Int[Tensor, "batch length"]
) -> Tensor:
    """Log-probabilities along given continuations, one step at a time (teacher forcing through ``step``).

    Args:
        model: the language model.
        context: tokens, shape (batch, context).
        tokens: the continuation, shape (batch, length).

    Returns:
        ``log p`` of every token at every position, shape (batch, length, vocabulary).
    """
    check_model(model)
    check_context(context, model.vocabulary)
    state, token, laws = model.init(context[:, :-1]), context[:, -1], []
    for column in range(tokens.shape[1]):
        logits, state = model.step(token, state)
        laws.append(logits.log_softmax(dim=1))
        token = tokens[:, column]
    return torch.stack(laws, dim=1)
