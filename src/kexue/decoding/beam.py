"""Beam search, batched over contexts, with its conventions in the open."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kexue.decoding.decode import Decoded
from kexue.decoding.protocol import LanguageModel, check_call, check_logits, next_logits, select


@dataclass(frozen=True)
class Beams(Decoded):
    """The best hypothesis of every context; ``stopped`` where some hypothesis finished within the horizon.

    Attributes:
        scores: ``log p(y) / length**length_penalty`` of the hypothesis.
        steps: steps until the search of a context was over, the horizon where it was not. The best hypothesis may have
            finished long before: its length says nothing about when the search ends.
    """

    scores: Float[Tensor, " batch"]
    steps: Int[Tensor, " batch"]


@torch.no_grad()
def beam(
    model: LanguageModel,
    context: Int[Tensor, "batch context"],
    width: int,
    horizon: int,
    *,
    length_penalty: float = 0.0,
    wait_for: Literal["width", "first"] = "width",
) -> Beams:
    """Beam search that keeps ``width`` unfinished prefixes until enough hypotheses have finished.

    Each step scores all one-token continuations of the ``width`` prefixes by their total log-probability and looks at
    the best ``2 width``. Those among the best ``width`` that end in ``<eos>`` finish, with score
    ``log p(y) / |y|^length_penalty`` (``<eos>`` counts in ``|y|``); the best ``width`` of the others go on. A context
    is done when ``width`` hypotheses (or the first one) have finished. States are re-ordered together with their
    prefixes. With ``width = 1`` and ``wait_for = "first"`` this is greedy decoding.

    Args:
        model: the language model.
        context: tokens, shape (batch, context).
        width: B.
        horizon: L, the largest number of generated tokens.
        length_penalty: 0 compares total log-probabilities, 1 compares means.
        wait_for: ``"width"`` is transformers' ``early_stopping=True``; ``"first"`` stops at the first finish.

    Returns:
        The best finished hypothesis of every context; where there is none, the best unfinished prefix. (At the horizon
            transformers lets unfinished prefixes compete with finished ones, which matters when ``length_penalty > 0``.)

    Raises:
        ValueError: as ``decode`` does, and for a width below 1 or not below the vocabulary.

    Source: kexue.fm/archives/7500 (beam search); Welleck et al. 2020, section 2.
    """
    check_call(model, context, horizon)
    if not 1 <= width < model.vocabulary:
        raise ValueError(f"width is {width}, want 1 … {model.vocabulary - 1} (the vocabulary without <eos>)")
    if wait_for not in ("width", "first"):
        raise ValueError(f"wait_for is {wait_for!r}, want 'width' or 'first'")
    batch, device = context.shape[0], context.device
    wanted = width if wait_for == "width" else 1
    copies = torch.arange(batch, device=device).repeat_interleave(width)
    state = select(model.init(context[:, :-1]), copies)
    token = context[:, -1].repeat_interleave(width)
    history = torch.empty(batch, width, 0, dtype=torch.int64, device=device)
    scores = torch.full((batch, width), -torch.inf, device=device)
    scores[:, 0] = 0.0  # all prefixes are the same at first: one of them speaks
    pool = _Finished(batch, model.eos, device)
    alive = torch.arange(batch, device=device)
    steps = torch.full((batch,), horizon, dtype=torch.int64, device=device)
    for step in range(1, horizon + 1):
        logits, state = next_logits(model, token, state)
        check_logits(logits)
        law = logits.log_softmax(dim=1).view(alive.numel(), width, model.vocabulary)
        candidates = (scores[..., None] + law).flatten(1)
        best, places = candidates.topk(2 * width, dim=1)
        parent, choice = places // model.vocabulary, places % model.vocabulary
        ends = choice == model.eos
        for rank in range(width):
            hits = (ends[:, rank] & best[:, rank].isfinite()).nonzero().squeeze(1)
            if hits.numel():
                prefix = history[hits, parent[hits, rank]]
                pool.add(alive[hits], prefix, best[hits, rank].double() / step**length_penalty)
        going = best.masked_fill(ends, -torch.inf)
        scores, order = going.topk(width, dim=1)
        parent, choice = parent.gather(1, order), choice.gather(1, order)
        earlier = history.gather(1, parent[..., None].expand(-1, -1, history.shape[2]))
        history = torch.cat([earlier, choice[..., None]], dim=2)
        unfinished = pool.count[alive] < wanted
        steps[alive[~unfinished]] = step
        going_on = unfinished.nonzero().squeeze(1)
        rows = (going_on[:, None] * width + parent[going_on]).flatten()
        alive, scores, history = alive[going_on], scores[going_on], history[going_on]
        state, token = select(state, rows), choice[going_on].flatten()
        if alive.numel() == 0:
            break
    stopped = pool.count > 0
    for row, context_row in enumerate(alive.tolist()):
        if not stopped[context_row]:
            pool.keep(context_row, history[row, 0], float(scores[row, 0] / horizon**length_penalty))
    return pool.result(stopped, steps)


class _Finished:
    """The best finished hypothesis of each context so far, and how many have finished."""

    def __init__(self, batch: int, eos: int, device: torch.device) -> None:
        self.eos = eos
        self.count = torch.zeros(batch, dtype=torch.int64, device=device)
        self.scores = torch.full((batch,), -torch.inf, dtype=torch.float64, device=device)
        self.best: list[Tensor] = [torch.empty(0, dtype=torch.int64, device=device)] * batch

    def add(
        self, contexts: Int[Tensor, " hits"], prefixes: Int[Tensor, "hits length"], scores: Tensor
    ) -> None:
        self.count[contexts] += 1
        better = scores > self.scores[contexts]
        self.scores[contexts] = torch.where(better, scores, self.scores[contexts])
        ending = prefixes.new_full((1,), self.eos)
        for hit in better.nonzero().squeeze(1).tolist():
            self.best[int(contexts[hit])] = torch.cat([prefixes[hit], ending])

    def keep(self, context: int, prefix: Int[Tensor, " length"], score: float) -> None:
        self.best[context], self.scores[context] = prefix, score

    def result(self, stopped: Bool[Tensor, " batch"], steps: Int[Tensor, " batch"]) -> Beams:
        lengths = torch.tensor([len(tokens) for tokens in self.best], device=stopped.device)
        tokens = torch.full((len(self.best), int(lengths.max())), self.eos, device=stopped.device)
        for row, kept in enumerate(self.best):
            tokens[row, : len(kept)] = kept
        return Beams(tokens, lengths, stopped, self.scores, steps)
