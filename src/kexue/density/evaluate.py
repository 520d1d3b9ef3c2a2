"""log p(x) by as many importance samples as wanted, in constant memory, with what is needed to distrust it."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from kexue.density import _checks
from kexue.density.proposals import LogJoint, Proposal, draw, log_ratio, log_weights
from kexue.density.tails import UNRELIABLE, pareto_shape, tail_length

BLOCK = 2**18  # numbers of z held at a time
TAIL = 512  # weights an example kept for the tail fit


class TailWarning(UserWarning):
    """The weights' tail is so heavy that more samples will not help at the rate 1/K."""


class Marginal(NamedTuple):
    """Estimates an example, float64: log p(x) and the ELBO in nats, the effective sample size, the tail's k̂.

    k̂ is NaN when there are fewer than 30 samples, and −∞ when all weights are equal.
    """

    log_marginal: Float64[Tensor, " batch"]
    elbo: Float64[Tensor, " batch"]
    effective_samples: Float64[Tensor, " batch"]
    tail_shape: Float64[Tensor, " batch"]


def log_marginal(
    log_joint: LogJoint, proposal: Proposal, samples: int, *, generator: torch.Generator, block: int = BLOCK
) -> Marginal:
    """log (1/K) Σ w_k with z_k ~ q, streamed: memory does not grow with K.

    One pass. A running maximum m and float64 sums of e^(log w − m), of its square and of log w are kept, and the
    `TAIL` largest log-weights for k̂ (fewer when K is small, `tails.tail_length`).

    Args:
        log_joint: z, shape (samples, batch, d) → log p(x, z), shape (samples, batch).
        proposal: q.
        samples: K ≥ 1.
        generator: source of randomness.
        block: numbers of z held at a time, ≥ 1; at least one sample for the batch.

    Returns:
        The estimates. Their means rise with K to log p(x); they carry no gradient.

    Raises:
        TypeError: for what is no `Proposal`.
        ValueError: for samples or block < 1; when `log_joint` or the proposal returns another shape than it should; for
            a log-weight that is NaN or +∞, with the sample's number.

    Warns:
        TailWarning: where k̂ > 0.7, as then the gap cannot shrink as 1/K.

    Source: kexue.fm/archives/8791, importance sampling; Burda et al. 2016, eq. 8.
    """
    _checks.count("samples", samples)
    _checks.count("block", block)
    with torch.no_grad():
        z = draw(proposal, 1, generator=generator)
        first = log_ratio(log_joint, proposal, z).double()
        size = max(1, block // max(1, z.numel()))
        top = first[0]
        total = torch.ones_like(top)
        squares = torch.ones_like(top)
        sum_of_logs = top.clone()
        tail = first
        keep = min(TAIL, tail_length(samples) + 1)
        done = 1
        _refuse(first, 0)
        while done < samples:
            log_w = log_weights(log_joint, proposal, min(size, samples - done), generator=generator).double()
            _refuse(log_w, done)
            done += len(log_w)
            higher = torch.maximum(top, log_w.amax(0))
            shrink = torch.exp(torch.where(top == higher, 0.0, top - higher))
            relative = torch.exp(torch.where(log_w == higher, 0.0, log_w - higher))
            total = total * shrink + relative.sum(0)
            squares = squares * shrink**2 + (relative**2).sum(0)
            sum_of_logs += log_w.sum(0)
            top = higher
            tail = torch.cat([tail, log_w])
            if len(tail) > keep:
                tail = tail.topk(keep, dim=0).values
    shape = pareto_shape(tail) if samples >= 30 else torch.full_like(top, math.nan)
    heavy = int((shape > UNRELIABLE).sum())
    if heavy:
        warnings.warn(
            f"k̂ > {UNRELIABLE} for {heavy} of {len(shape)} examples (largest {float(shape.max()):.2f}): the weights' "
            "variance is not finite there, and the gap of the bound does not shrink as 1/K",
            TailWarning,
            stacklevel=2,
        )
    return Marginal(top + torch.log(total / samples), sum_of_logs / samples, total**2 / squares, shape)


def _refuse(log_w: Float64[Tensor, "samples batch"], done: int) -> None:
    bad = torch.isnan(log_w) | (log_w == math.inf)
    if bad.any():
        sample, example = (int(i) for i in bad.nonzero()[0])
        raise ValueError(
            f"log_joint − log q must be finite or −∞, got {float(log_w[sample, example])} for example {example} "
            f"at sample {done + sample}"
        )
