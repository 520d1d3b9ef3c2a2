"""Power means of scores, with an explicit policy for zeros, negatives and missing cells."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from kexue.arrays import Numbers, array

MEANS: dict[str, float] = {"AM": 1.0, "GM": 0.0, "HM": -1.0}
"""The exponent of each named mean: arithmetic, geometric, harmonic."""

ZeroPolicy = Literal["refuse", "limit", "undefined"]
NegativePolicy = Literal["refuse", "undefined"]
MissingPolicy = Literal["refuse", "undefined", "skip"]

_SMALL_EXPONENT = 0.5
"""Below this size of ``|p| * spread of logs`` expm1 and log1p compute the mean, which keeps p → 0 exact."""


def power_mean(
    values: Float64[np.ndarray, "*rows tasks"] | Numbers,
    power: float,
    *,
    weights: Float64[np.ndarray, " tasks"] | Numbers | None = None,
    zeros: ZeroPolicy = "refuse",
    negatives: NegativePolicy = "refuse",
    missing: MissingPolicy = "refuse",
) -> Float64[np.ndarray, "*rows"]:
    r"""Average the last axis with the weighted power mean.

    $$M_p(x) = \Big(\sum_i w_i x_i^p\Big)^{1/p},\quad M_0 = \exp\sum_i w_i\log x_i,\quad
    M_{\pm\infty} = \max, \min .$$

    A cell that the exponent cannot take needs a policy, because each silent choice gives another ranking.
    ``p = 1`` and ``p = ±inf`` take every number; ``p > 0`` takes zeros; everything else asks.

    Args:
        values: scores, shape (*rows, tasks), any unit; an array, a DataFrame or lists; NaN marks a missing cell.
        power: the exponent p, any real number or ±inf (1 arithmetic, 0 geometric, -1 harmonic).
        weights: positive task weights, shape (tasks,); normalised here; equal if not given.
        zeros: for p <= 0, "refuse" raises, "limit" takes the limit (the mean is 0), "undefined" gives NaN.
        negatives: for p other than 1 and ±inf, "refuse" raises, "undefined" gives NaN for that row.
        missing: "refuse" raises, "undefined" gives NaN for that row, "skip" averages the cells that are
            there, which compares rows over different tasks (the trap of a default ``skipna=True``).

    Returns:
        The means, shape (*rows,), in the unit of ``values``; NaN where a policy says so or a row is empty.

    Raises:
        ValueError: no task, a bad weight, a NaN exponent, or a cell that a policy refuses.

    Source: kexue.fm/archives/8783 (AM, GM, HM); Hardy, Littlewood & Pólya, Inequalities, chapter 2.
    """
    values = array("values", values)
    if values.shape[-1] == 0:
        raise ValueError(f"values needs at least one task in its last axis, got shape {values.shape}")
    if np.isnan(power):
        raise ValueError("power is NaN, wanted a real number or ±inf")
    if np.isinf(values).any():
        raise ValueError("values holds an infinite score, wanted finite scores or NaN for a missing cell")
    absent = np.isnan(values)
    takes_everything = power == 1 or np.isinf(power)
    undefined = np.zeros(values.shape[:-1], dtype=bool)
    undefined |= _settle("missing", missing, absent, ("undefined", "skip"), power)
    if not takes_everything:
        undefined |= _settle("negatives", negatives, values < 0, ("undefined",), power)
        if power <= 0:
            undefined |= _settle("zeros", zeros, values == 0, ("undefined", "limit"), power)
    present = _present_weights(absent, weights)
    empty = absent.all(axis=-1)
    if power == 1:  # divided last, so that rows with equal sums tie exactly
        total = np.where(empty, 1.0, present.sum(axis=-1))
        result = np.asarray((present * np.where(absent, 0.0, values)).sum(axis=-1) / total)
    else:
        share = present / np.where(empty, 1.0, present.sum(axis=-1))[..., None]
        result = _mean(np.where(absent, 1.0, values), share, power)
    return np.where(undefined | empty, np.nan, result)


def needed_score(values: Float64[np.ndarray, " tasks"] | Numbers, power: float, target: float) -> float:
    r"""The score one more task must have for the power mean over all tasks to reach a target.

    $$x_{m+1} = \big((m+1)\,t^p - \textstyle\sum_i x_i^p\big)^{1/p},\qquad
    p = 0:\quad \log x_{m+1} = (m+1)\log t - \textstyle\sum_i \log x_i .$$

    Args:
        values: the scores there are, shape (tasks,), positive.
        power: the exponent p, finite.
        target: the mean to reach, positive.

    Returns:
        The score, in the unit of ``values``; inf where none is enough (p < 0), -inf where any is (p > 0).

    Raises:
        ValueError: a score or target that is not positive, or an exponent that is not finite.

    Source: the definition of the mean, solved for the diagnostic cell that the GLUE board leaves empty.
    """
    values = array("values", values)
    if not (np.isfinite(power) and target > 0 and values.size and (values > 0).all()):
        raise ValueError(
            f"values and target must be positive and power finite, got {values.tolist()}, {target}, {power}"
        )
    logs = np.log(values / target)
    if power == 0:
        return float(target * np.exp(-logs.sum()))
    excess = np.expm1(power * logs).sum()  # log1p below keeps p → 0 exact
    if excess >= 1:
        return float("inf") if power < 0 else float("-inf")
    return float(target * np.exp(np.log1p(-excess) / power))


def _settle(
    name: str, policy: str, cells: Bool[np.ndarray, "*rows tasks"], allowed: tuple[str, ...], power: float
) -> Bool[np.ndarray, "*rows"]:
    """Apply one policy to its cells; True marks the rows whose mean is then undefined."""
    if policy not in ("refuse", *allowed):
        raise ValueError(f"{name}={policy!r} is no policy, wanted one of {('refuse', *allowed)}")
    if policy == "refuse" and cells.any():
        first = tuple(int(i) for i in np.argwhere(cells)[0])
        raise ValueError(
            f"values has {int(cells.sum())} {name} (the first at index {first}), which power={power} "
            f"refuses; pass {name}={' or '.join(repr(choice) for choice in allowed)} to decide"
        )
    if policy == "undefined":
        return np.asarray(cells.any(axis=-1))
    return np.zeros(cells.shape[:-1], dtype=bool)


def _present_weights(
    absent: Bool[np.ndarray, "*rows tasks"], weights: Float64[np.ndarray, " tasks"] | Numbers | None
) -> Float64[np.ndarray, "*rows tasks"]:
    """Weights of the cells that are there, 0 for the missing ones."""
    if weights is None:
        weights = np.ones(absent.shape[-1])
    weights = array("weights", weights)
    if weights.shape != absent.shape[-1:] or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(
            f"weights must be {absent.shape[-1]} finite positive numbers, got {weights.tolist()}"
        )
    return np.where(absent, 0.0, weights)


def _mean(
    values: Float64[np.ndarray, "*rows tasks"], share: Float64[np.ndarray, "*rows tasks"], power: float
) -> Float64[np.ndarray, "*rows"]:
    if np.isposinf(power):
        return np.asarray(np.where(share > 0, values, -np.inf).max(axis=-1))
    if np.isneginf(power):
        return np.asarray(np.where(share > 0, values, np.inf).min(axis=-1))
    zero = values <= 0
    logs = np.log(np.where(zero, 1.0, values))
    centre = (share * logs).sum(axis=-1, keepdims=True)
    if power == 0:
        result = np.exp(centre[..., 0])
        return np.asarray(np.where((zero & (share > 0)).any(axis=-1), 0.0, result))
    exponent = np.where(zero, -np.inf if power > 0 else np.inf, power * (logs - centre))
    peak = np.where(share > 0, exponent, -np.inf).max(axis=-1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shifted = np.exp(exponent - peak[..., None])
        large = peak + np.log(np.where(share > 0, share * shifted, 0.0).sum(axis=-1))
        small = np.log1p(np.where(share > 0, share * np.expm1(exponent), 0.0).sum(axis=-1))
    spread = np.where(share > 0, np.abs(exponent), 0.0).max(axis=-1)
    log_mean = np.where(spread < _SMALL_EXPONENT, small, large) / power
    blocked = np.isinf(peak)  # a zero under p < 0 (mean 0), or nothing but zeros under p > 0 (mean 0)
    return np.asarray(np.where(blocked, 0.0, np.exp(np.where(blocked, 0.0, log_mean) + centre[..., 0])))
