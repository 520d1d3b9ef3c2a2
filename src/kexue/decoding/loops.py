"""Loops: finding their period, telling them apart, and proving that a greedy one never ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from kexue.decoding.protocol import LanguageModel, State, check_call


def period(tokens: Sequence[int], longest: int | None = None) -> int | None:
    """The smallest p with ``tokens[i + p] == tokens[i]`` throughout.

    Args:
        tokens: the end of a generated text.
        longest: largest p looked for; a third of the tokens by default, so that a loop has been seen three times.

    Returns:
        p, or None without a period.
    """
    text = list(tokens)
    limit = len(text) // 3 if longest is None else longest
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

    Attributes:
        period: length of the loop in tokens.
        repeats_after: the step at which token *and* state, bit for bit, are those of an earlier step; None if that
            did not happen. A deterministic program in a state it has been in before runs for ever.
        residuals: ``max |h_{t+p} - h_t|`` along the run, one per step t.
        contraction: measured factor by which the residual shrinks per turn, from its geometric decay.
        margin: the least lead of the best logit over the second in the last turns.
        drift: bound on how far any logit difference can still move, ``2 max_v ||u_v||_1 · residual / (1 - κ)``.
    """

    period: int
    repeats_after: int | None
    residuals: Float64[Tensor, " steps"]
    contraction: float
    margin: float
    drift: float

    @property
    def holds(self) -> bool:
        """True when the state repeats exactly, or the margin exceeds the drift of a contracting loop."""
        return self.repeats_after is not None or (self.contraction < 1.0 and self.margin > self.drift)


@torch.no_grad()
def certify(
    model: LanguageModel,
    context: Int[Tensor, "1 context"],
    horizon: int,
    largest_row: float,
    longest: int = 64,
) -> LoopCertificate | None:
    """Run one context greedily, alone, and look for a proof that it never stops.

    Alone and always in the same shape: batched kernels may round differently when the batch shrinks. Give the model
    in double precision.

    Args:
        model: the language model; everything in its state counts, so that an ST layer's running product or an NMST
            layer's clock rightly prevent a certificate.
        context: tokens, shape (1, context).
        horizon: steps to look at.
        largest_row: ``max_v ||u_v||_1`` of the output matrix, for the drift of the logits.
        longest: largest period looked for.

    Returns:
        The certificate, or None when the text stops or shows no period.

    Raises:
        ValueError: for more than one context.

    Source: kexue.fm/archives/7500 asks why decoding loops; the certificate is this book's.
    """
    check_call(model, context, horizon)
    if context.shape[0] != 1:
        raise ValueError(f"context has {context.shape[0]} rows, want one: a certificate is for one text")
    state, token = model.init(context[:, :-1]), context[:, -1]
    tokens: list[int] = []
    states: list[Float[Tensor, " size"]] = []
    margins: list[float] = []
    seen: dict[tuple[int, bytes], int] = {}
    repeats_after = None
    for step in range(horizon):
        logits, state = model.step(token, state)
        best, places = logits[0].topk(2)
        token = places[:1]
        if int(token) == model.eos:
            return None
        tokens.append(int(token))
        margins.append(float(best[0] - best[1]))
        vector = flatten(state)
        states.append(vector)
        key = (tokens[-1], vector.numpy(force=True).tobytes())
        if key in seen:
            repeats_after = step
            break
        seen[key] = step
    turn = period(tokens[-4 * longest :], longest)
    if turn is None:
        return None
    track = torch.stack(states).double()
    residuals = (track[turn:] - track[:-turn]).abs().amax(dim=1)
    contraction = _decay(residuals, turn)
    last = max(float(residuals[-1]), torch.finfo(track.dtype).eps)
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
            parts.append(torch.tensor([float(entry)]))
    return torch.cat([part.double() for part in parts]) if parts else torch.zeros(0, dtype=torch.float64)


def _decay(residuals: Float64[Tensor, " steps"], turn: int) -> float:
    """Least-squares slope of ``ln residual`` over the stretch between a tenth and the float noise, per turn."""
    steps = torch.arange(len(residuals), dtype=torch.float64)
    clear = (residuals < 0.1) & (residuals > 1e-12)
    if int(clear.sum()) < 2 * turn + 2:
        return 1.0 if float(residuals[-1]) > 1e-12 else 0.0
    x, y = steps[clear], residuals[clear].log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return float((slope * turn).exp())
