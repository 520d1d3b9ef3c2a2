"""The decoding loop: batched, finished rows leave, any horizon."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from kexue.checks import returned
from kexue.decoding.protocol import (
    LanguageModel,
    State,
    check_call,
    check_context,
    check_model,
    next_logits,
    prepared,
    same_rows,
    select,
)
from kexue.decoding.rules import Greedy, Rule


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
    leave_loops: bool = False,
) -> Decoded:
    """Generate until ``<eos>``, for at most ``horizon`` tokens.

    Rows that have stopped leave the batch as soon as one row in eight has, so the cost follows the rows that are still
    alive and a cache is seldom copied. With ``tail`` the memory does not depend on the horizon as long as the model's
    state does not.

    A greedy decoder is a deterministic program: once token and state of a row are, bit for bit, what they were some
    steps before in a batch of the same shape, all that follows is a repetition. With ``leave_loops`` such rows leave
    too, and their tokens are filled in. Only a state that does not grow can repeat; a clock in it prevents it.

    Args:
        model: the language model.
        context: tokens, shape (batch, context), at least one column.
        rule: the decoder.
        horizon: L, the largest number of generated tokens, ``<eos>`` included.
        generator: where random rules draw from.
        tail: keep only the last ``tail`` tokens of each row.
        leave_loops: let rows go whose state repeats exactly; for ``Greedy`` only.

    Returns:
        Tokens, lengths, and which rows stopped.

    Raises:
        ValueError: for an empty context, tokens outside the vocabulary, a vocabulary without ``<eos>``, a horizon
            below 1, NaN logits, a model or rule that returns another shape than it should; ``leave_loops`` with a rule that draws.

    Source: kexue.fm/archives/7500; Welleck et al. 2020, section 2.
    """
    check_call(model, context, horizon)
    if tail is not None and tail < 1:
        raise ValueError(f"tail is {tail}, want at least 1 token or None")
    if leave_loops and not isinstance(rule, Greedy):
        raise ValueError(
            f"leave_loops with {rule}, want Greedy: only a deterministic decoder is bound to a loop"
        )
    kept = horizon if tail is None else min(tail, horizon)
    text = _Text(context.shape[0], kept, model.eos, context.device)
    lengths = torch.full((context.shape[0],), horizon, dtype=torch.int64, device=context.device)
    stopped = torch.zeros_like(lengths, dtype=torch.bool)
    rows = torch.arange(context.shape[0], device=context.device)
    alive = torch.ones_like(rows, dtype=torch.bool)  # of the rows in the batch; the others wait to be dropped
    living = len(rows)
    model = prepared(model, len(rows) * horizon)
    state, token = model.init(context[:, :-1]), context[:, -1]
    watch = _Watch()
    for step in range(horizon):
        logits, state = next_logits(model, token, state)
        drawn = rule.choose(logits, model.eos, generator)
        choice = returned("rule.choose", drawn, token.shape, logits.shape)
        going = alive & (choice != model.eos)
        text.write(step, rows, choice, alive, living == len(rows))
        # A row that waits is fed a word it knows: a model need not have a law behind <eos>.
        token = choice if living == len(rows) else torch.where(going, choice, token)
        if leave_loops:
            turning = watch.repeats(step, token, state, going)
            if turning is not None and step - watch.since <= kept:
                text.repeat(rows[turning], step, step - watch.since)
                going = going & ~turning
        left = int(going.sum())
        if left == living:
            continue
        ended = rows[alive & (choice == model.eos)]
        lengths[ended], stopped[ended] = step + 1, True
        alive, living = going, left
        if living == 0:
            break
        if 8 * living <= 7 * len(rows):
            survivors = alive.nonzero().squeeze(1)
            rows, token, state = rows[survivors], token[survivors], select(state, survivors)
            alive = alive[survivors]
            watch = _Watch(step + 1)
        else:
            token = torch.where(alive, token, context[rows, -1])
    return Decoded(text.finish(lengths, horizon, tail is not None), lengths, stopped)


class _Text:
    """What has been generated: the last ``kept`` tokens of every row, a ring once there are more."""

    def __init__(self, batch: int, kept: int, eos: int, device: torch.device) -> None:
        self.kept = kept
        self.tokens = torch.full((batch, min(kept, 64)), eos, dtype=torch.int64, device=device)
        self.eos = eos
        self.loops: list[tuple[Tensor, int, int]] = []

    def _grow(self, width: int) -> None:
        room = self.tokens.new_full((self.tokens.shape[0], width - self.tokens.shape[1]), self.eos)
        self.tokens = torch.cat([self.tokens, room], dim=1)

    def write(
        self,
        step: int,
        rows: Int[Tensor, " rows"],
        choice: Int[Tensor, " rows"],
        alive: Bool[Tensor, " rows"],
        everyone: bool,
    ) -> None:
        slot = step % self.kept
        if slot >= self.tokens.shape[1]:
            self._grow(min(self.kept, 2 * self.tokens.shape[1]))
        if not everyone:
            rows, choice = rows[alive], choice[alive]
        if len(rows) == self.tokens.shape[0]:
            self.tokens[:, slot] = choice
        else:
            self.tokens[rows, slot] = choice

    def repeat(self, rows: Int[Tensor, " rows"], step: int, period: int) -> None:
        self.loops.append((rows, step, period))

    def finish(self, lengths: Int[Tensor, " batch"], horizon: int, tail: bool) -> Int[Tensor, "batch length"]:
        longest = int(lengths.max())
        if self.tokens.shape[1] < min(self.kept, longest):
            self._grow(min(self.kept, longest))
        device = self.tokens.device
        for rows, step, period in self.loops:
            later = torch.arange(max(step + 1, horizon - self.kept), horizon, device=device)
            source = step + 1 - period + (later - step - 1) % period
            self.tokens[rows[:, None], later % self.kept] = self.tokens[rows[:, None], source % self.kept]
        if tail:
            # Turn ring buffers into sequences in time order.
            start = torch.where(lengths > self.kept, lengths % self.kept, torch.zeros_like(lengths))
            order = (start[:, None] + torch.arange(self.tokens.shape[1], device=device)) % self.kept
            return self.tokens.gather(1, order)[:, :longest]
        return self.tokens[:, :longest]


class _Watch:
    """Brent's search for a repeated state: compare with one remembered state, now and then remember a new one.

    A state is remembered for half of the steps taken before it, and for 16 at least. So the wait grows without bound,
    whence any period is found at last, and a cycle is noticed soon after it is entered, not at the next power of two.
    """

    def __init__(self, start: int = 0) -> None:
        self.start, self.since = start, start
        self.remembered: tuple[Tensor, State] | None = None

    def repeats(
        self, step: int, token: Int[Tensor, " rows"], state: State, alive: Bool[Tensor, " rows"]
    ) -> Bool[Tensor, " rows"] | None:
        """The living rows whose token and state are those of step ``since``; None when there is none."""
        found = None
        if self.remembered is not None:
            tokens, past = self.remembered
            # Only of rows at the same token need the states be read.
            rows = (alive & (token == tokens)).nonzero().squeeze(1)
            if len(rows):
                same = alive[rows] & same_rows(select(state, rows), select(past, rows))
                found = torch.zeros_like(alive).index_put_((rows,), same) if bool(same.any()) else None
        if found is None and (
            self.remembered is None or step - self.since >= max(16, (self.since - self.start) // 2)
        ):
            self.since, self.remembered = step, (token, state)
        return found


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
        logits, state = next_logits(model, token, state)
        laws.append(logits.log_softmax(dim=1))
        token = tokens[:, column]
    return torch.stack(laws, dim=1)
