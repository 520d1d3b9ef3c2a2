"""Training's hot spots: the words' softmax and a tanh layer over time, backward passes by hand; dropout.

Same functions as the plain ones, fewer passes over memory. The plain softmax of a batch writes some ten arrays of the size
(tokens, vocabulary); here one is kept. The plain recurrence adds up its weight gradient step by step; here it is one product.
Dropout spends 16 random bits on a number.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

ROWS = 256
"""Tokens scored at a time, so that their logits stay in the processor's cache."""


def word_scores(
    top: Float[Tensor, "*batch hidden"],
    weight: Float[Tensor, "vocabulary hidden"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, "*batch"],
    eos: int,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Log-probability of given words among the words, and the lead of ``<eos>`` over all of them together.

    With logits ``z = weight · top + bias`` and ``Z = logsumexp of z_v over v != eos``: ``word = z_y - Z`` and
    ``lead = z_eos - Z``.

    Args:
        top: the model's top vectors.
        weight: one row per token.
        bias: one number per token, or None.
        targets: y.
        eos: the index of ``<eos>``.

    Returns:
        ``word`` (0 where the target is ``<eos>``) and ``lead``, differentiable once in ``top``, ``weight``, ``bias``.
    """
    shape, flat = targets.shape, targets.flatten()
    ends = flat == eos
    # A row whose target is <eos> is given some word: its score is dropped below, its gradient is 0.
    named = torch.where(ends, (eos + 1) % weight.shape[0], flat)
    vectors = top.flatten(0, -2)
    if torch.is_grad_enabled():
        word, lead = _WordScores.apply(vectors, weight, bias, named, eos)  # type: ignore[no-untyped-call]
    else:
        word, lead, _, _ = _score(vectors, weight, bias, named, eos, keep=False)
    return word.masked_fill(ends, 0.0).view(shape), lead.view(shape)


def _score(
    top: Tensor, weight: Tensor, bias: Tensor | None, named: Tensor, eos: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Word, lead, ``exp(z - max)`` of all words (of the last rows only, unless kept) and its sums."""
    count, vocabulary = len(top), len(weight)
    masses = top.new_empty(count if keep else min(ROWS, count), vocabulary)
    word, lead, sums = (top.new_empty(count) for _ in range(3))
    for first in range(0, count, ROWS):
        rows = slice(first, min(first + ROWS, count))
        z = masses[rows] if keep else masses[: rows.stop - first]
        if bias is None:
            torch.mm(top[rows], weight.T, out=z)
        else:
            torch.addmm(bias, top[rows], weight.T, out=z)
        at_eos, at_word = z[:, eos].clone(), z.gather(1, named[rows, None])[:, 0]
        z[:, eos] = -torch.inf
        best = z.amax(dim=1)
        total = z.sub_(best[:, None]).exp_().sum(dim=1)
        level = best + total.log()
        word[rows], lead[rows], sums[rows] = at_word - level, at_eos - level, total
    return word, lead, masses, sums


class _WordScores(torch.autograd.Function):
    """``dz = g_word 1_y + g_lead 1_eos - (g_word + g_lead) p``, with ``p`` the softmax of the words."""

    @staticmethod
    def forward(
        ctx: Any, top: Tensor, weight: Tensor, bias: Tensor | None, named: Tensor, eos: int
    ) -> tuple[Tensor, Tensor]:
        word, lead, masses, sums = _score(top, weight, bias, named, eos, keep=True)
        ctx.save_for_backward(top, weight, bias, named, masses, sums)
        ctx.eos = eos
        return word, lead

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        top, weight, bias, named, masses, sums = ctx.saved_tensors
        of_word, of_lead = gradients
        shared = -(of_word + of_lead) / sums
        grad_top, grad_weight = torch.empty_like(top), torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        scratch = masses.new_empty(min(ROWS, len(top)), len(weight))
        for first in range(0, len(top), ROWS):
            rows = slice(first, min(first + ROWS, len(top)))
            dz = torch.mul(masses[rows], shared[rows, None], out=scratch[: rows.stop - first])
            dz.scatter_add_(1, named[rows, None], of_word[rows, None])
            dz[:, ctx.eos] = of_lead[rows]
            torch.mm(dz, weight, out=grad_top[rows])
            grad_weight.addmm_(dz.T, top[rows])
            if grad_bias is not None:
                grad_bias += dz.sum(dim=0)
        return grad_top, grad_weight, grad_bias, None, None


def tanh_layer(
    drive: Float[Tensor, "time batch hidden"], weight: Float[Tensor, "hidden hidden"]
) -> Float[Tensor, "time batch hidden"]:
    """``h_t = tanh(drive_t + weight · h_{t-1})`` from ``h_0 = 0``.

    Args:
        drive: what comes from below, biases included, time first.
        weight: the recurrent matrix.

    Returns:
        ``h_1 … h_T``, differentiable once.
    """
    hidden: Tensor = _TanhLayer.apply(drive, weight)  # type: ignore[no-untyped-call]
    return hidden


class _TanhLayer(torch.autograd.Function):
    """Backwards through time: ``δ_t = (g_t + weightᵀ δ_{t+1})(1 - h_t²)``, and one product for the weight at the end."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, weight: Tensor) -> Tensor:
        hidden = torch.empty_like(drive)
        steps, turned = hidden.unbind(0), weight.T
        torch.tanh(drive[0], out=steps[0])
        for before, now, driven in zip(steps, steps[1:], drive.unbind(0)[1:], strict=False):
            torch.addmm(driven, before, turned, out=now).tanh_()
        ctx.save_for_backward(hidden, weight)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        (above,) = gradients
        delta = torch.empty_like(hidden)
        steps, states = delta.unbind(0), hidden.unbind(0)
        slope = torch.ops.aten.tanh_backward.grad_input
        slope(above[-1], states[-1], grad_input=steps[-1])
        for place in range(len(steps) - 2, -1, -1):
            slope(torch.addmm(above[place], steps[place + 1], weight), states[place], grad_input=steps[place])
        return delta, delta[1:].flatten(0, 1).T @ hidden[:-1].flatten(0, 1)


class Dropout(nn.Module):
    """Zeroes each number with probability ``share`` while training, and scales the others up to the same mean.

    On a CPU ``share`` is rounded to a multiple of 2⁻¹⁶, and four numbers share a random 64-bit word: the vendor's own
    dropout is a tenth of the training time of a small network.

    Args:
        share: in [0, 1).

    Raises:
        ValueError: for a share outside that range.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0.0 <= share < 1.0:
            raise ValueError(f"share is {share}, want a number in [0, 1)")
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """The thinned tensor, or ``x`` itself when not training."""
        if not self.training or self.share == 0.0:
            return x
        if x.is_cuda:
            return functional.dropout(x, self.share)
        dropped = round(self.share * 2**16)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))
