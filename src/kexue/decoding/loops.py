"""Loops: finding their period, telling them apart, and certifying that a greedy one never ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from kexue.decoding.protocol import LanguageModel, State, check_call, next_logits


def period(tokens: Sequence[int], longest: int | None = None) -> int | None:
    """The smallest p with ``tokens[i + p] == tokens[i]`` throughout, seen in three whole turns at least.

    Args:
        tokens: the end of a generated text; a loop of p tokens wants 3p of them.
        longest: largest p looked for; without it only the length of ``tokens`` limits p.

    Returns:
        p, or None without a period.
    """
    text = list(tokens)
    seen = len(text) // 3
    limit = seen if longest is None else min(longest, seen)
    for candidate in range(1, limit + 1):
        if text[candidate:] == text[:-candidate]:
            return candidate
    return None


def cycle(tokens: Sequence[int], longest: int | None = None) -> tuple[int, ...] | None:
    """The loop at the end of a text, rotated to its smallest form so that equal loops compare equal.

    Args:
        tokens: the end of a generated text.
        longest: as for ``period``.

    Returns:
        One turn of the loop, or None without a period.
    """
    turn = period(tokens, longest)
    if turn is None:
        return None
    once = tuple(tokens[-turn:])
    return min(once[shift:] + once[:shift] for shift in range(turn))


@dataclass(frozen=True)
class LoopCertificate:
    """Why a greedy decoder will never leave its loop.

    A return of token and state is a proof. Without one the loop is certified *with a measured contraction*: κ is a
    least-squares fit to the residuals of this run, no bound on the derivative of the state's map, so the certificate
    is as good as that fit.

    Attributes:
        period: length of the loop in tokens.
        repeats_after: the step at which token *and* state, bit for bit, are those of an earlier step; None if that
            did not happen. A deterministic program in a state it has been in before runs for ever.
        residuals: ``max |h_{t+p} - h_t|`` along the run, one per step t.
        contraction: κ, the measured factor by which the residual shrinks per turn, from its geometric decay.
        margin: the least lead of the best logit over the second in the last turns.
        drift: how far any logit difference can still move if κ holds, ``2 max_v ||u_v||_1 · residual / (1 - κ)``, with
            the largest residual of the last turn.
    """

    period: int
    repeats_after: int | None
    residuals: Float64[Tensor, " steps"]
    contraction: float
    margin: float
    drift: float

    @property
    def holds(self) -> bool:
        """True when the state repeats exactly, or the margin exceeds the drift at the measured contraction."""
        return self.repeats_after is not None or (self.contraction < 1.0 and self.margin > self.drift)


@torch.no_grad()
def certify(
    model: LanguageModel,
    context: Int[Tensor, "1 context"],
    horizon: int,
    largest_row: float,
    longest: int = 64,
) -> LoopCertificate | None:
    """Run one context greedily, alone, and certify its loop: by an exact return, or with a measured contraction.

    Alone and always in the same shape: batched kernels may round differently when the batch shrinks. Give the model
    in double precision.

    Args:
        model: the language model, with a state of constant size. Everything in the state counts, so that an ST
            layer's running product or an NMST layer's clock rightly prevent a certificate.
        context: tokens, shape (1, context).
        horizon: steps to look at.
        largest_row: ``max_v ||u_v||_1`` of the output matrix, for the drift of the logits.
        longest: largest period looked for where the state does not return exactly.

    Returns:
        The certificate, or None when the text stops or shows no period.

    Raises:
        ValueError: for more than one context, and for a state that grows with the text, such as a transformer's keys
            and values: it never returns and has no residual.

    Source: kexue.fm/archives/7500 asks why decoding loops; the certificate is this book's.
    """
    check_call(model, context, horizon)
    if context.shape[0] != 1:
        raise ValueError(f"context has {context.shape[0]} rows, want one: a certificate is for one text")
    state, token = model.init(context[:, :-1]), context[:, -1]
    size = len(flatten(state))
    _check_size(size, len(flatten(model.init(context))), "one token later")
    tokens: list[int] = []
    states: list[Float[Tensor, " size"]] = []
    margins: list[float] = []
    seen: dict[tuple[int, bytes], int] = {}
    repeats_after = None
    for step in range(horizon):
        logits, state = next_logits(model, token, state)
        best, places = logits[0].topk(2)
        token = places[:1]
        if int(token) == model.eos:
            return None
        tokens.append(int(token))
        margins.append(float(best[0] - best[1]))
        vector = flatten(state)
        _check_size(size, len(vector), f"after step {step + 1}")
        states.append(vector)
        key = (tokens[-1], vector.numpy(force=True).tobytes())
        if key in seen:
            repeats_after = step
            break
        seen[key] = step
    # What comes after an exact return is known, so its three turns need not be waited for.
    tail = tokens[-4 * longest :] if repeats_after is None else 3 * tokens[seen[key] + 1 :]
    turn = period(tail, longest if repeats_after is None else None)
    if turn is None:
        return None
    track = torch.stack(states)
    moved = (track[turn:] - track[:-turn]).abs()
    residuals = moved.amax(dim=1) if size else moved.sum(dim=1)  # a bigram's state is empty: it never moves
    contraction = _decay(residuals, turn)
    last = max(
        float(residuals[-turn:].max()), torch.finfo(track.dtype).eps
    )  # one phase may move more than another
    room = max(1.0 - contraction, torch.finfo(track.dtype).eps)
    return LoopCertificate(
        turn,
        repeats_after,
        residuals,
        contraction,
        min(margins[-2 * turn :]),
        2.0 * largest_row * last / room,
    )


def flatten(state: State) -> Float[Tensor, " size"]:
    """All numbers of a one-row state in one vector; plain numbers (an NMST layer's clock) included."""
    parts = []
    for entry in state:
        if isinstance(entry, tuple):
            parts.append(flatten(entry))
        elif isinstance(entry, Tensor):
            parts.append(entry.flatten())
        else:
            parts.append(torch.tensor([float(entry)], dtype=torch.float64))
    return torch.cat([part.double() for part in parts]) if parts else torch.zeros(0, dtype=torch.float64)


def _check_size(first: int, later: int, when: str) -> None:
    """Refuse a state whose size changes along the text."""
    if first != later:
        raise ValueError(
            f"model's state holds {first} numbers at first and {later} {when}, want a state of constant size, as a "
            "recurrent network or an n-gram has: one that grows, like a transformer's keys and values, never returns"
        )


def _decay(residuals: Float64[Tensor, " steps"], turn: int) -> float:
    """Least-squares slope of ``ln residual`` over the stretch between a tenth and the float noise, per turn."""
    steps = torch.arange(len(residuals), dtype=torch.float64)
    clear = (residuals < 0.1) & (residuals > 1e-12)
    if int(clear.sum()) < 2 * turn + 2:
        return 1.0 if float(residuals[-1]) > 1e-12 else 0.0
    x, y = steps[clear], residuals[clear].log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return float((slope * turn).exp())
