"""Each claim of the leaderboard chapter can be wrong: a fault in the code it measures turns its verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from kexue.leaderboard import (
    audit,
    forensics,
    means,
    ranks,
    scales,
    scores,
    shapley,
    subsets,
    uncertainty,
    voting,
)
from tests.book.chapters import chapter, execute, sound

LIBRARY = (audit, forensics, means, ranks, scales, scores, shapley, subsets, uncertainty, voting)


def _around(
    name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """A fault that wraps one function of the library."""
    module, _, function = name.partition(".")
    holder = next(m for m in LIBRARY if m.__name__.endswith(f".{module}"))
    return {f"{holder.__name__}.{function}": wrap(getattr(holder, function))}


def _first_task_twice(table: np.ndarray, tasks: Any, rule: scores.OfficialRule) -> np.ndarray:
    doubled = [*rule.tasks, rule.tasks[0]]
    return np.asarray(table[:, [list(tasks).index(task) for task in doubled]].mean(axis=1))


def _only_first_match(sound_function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def first(*arguments: Any, **options: Any) -> np.ndarray:
        marked = sound_function(*arguments, **options)
        return np.arange(len(marked)) == np.flatnonzero(marked)[0]

    return first


FAULTS: dict[str, dict[str, Any]] = {
    "GM and HM are interchanged": _around(
        "means.power_mean", lambda f: lambda v, p, **k: f(v, {0.0: -1.0, -1.0: 0.0}.get(p, p), **k)
    ),
    "the harmonic mean is almost the minimum": _around(
        "means.power_mean", lambda f: lambda v, p, **k: f(v, -1000.0 if p == -1 else p, **k)
    ),
    "the arithmetic mean puts the worst first": _around(
        "means.power_mean", lambda f: lambda v, p, **k: 100.0 - f(v, p, **k) / 10 if p == 1 else f(v, p, **k)
    ),
    "extreme exponents are clipped": _around(
        "means.power_mean", lambda f: lambda v, p, **k: f(v, float(np.clip(p, -1, 1)), **k)
    ),
    "ranks start from zero": _around("ranks.ranks", lambda f: lambda v, **k: f(v, **k) - 1),
    "the four best rows go unranked": _around("ranks.ranks", lambda f: lambda v, **k: f(v, **k) - 4),
    "the fourteen best rows go unranked": _around("ranks.ranks", lambda f: lambda v, **k: f(v, **k) - 14),
    "the margin has the wrong sign": _around("ranks.margin", lambda f: lambda v, row: -f(v, row)),
    "tau reads one ranking backwards": _around("ranks.kendall_tau", lambda f: lambda a, b: f(a, -b)),
    "tau reads one ranking twice": _around("ranks.kendall_tau", lambda f: lambda a, b: f(a, a)),
    "dominance is turned round": _around("ranks.dominance", lambda f: lambda t: f(t).T),
    "official scores count a task twice": {"kexue.leaderboard.scores.official_score": _first_task_twice},
    "variance shares are exchanged": _around("subsets.variance_shares", lambda f: lambda v: f(v.T.copy())),
    "Shapley values come in reverse": _around(
        "shapley.shapley_values", lambda f: lambda w: f(w)[::-1].copy()
    ),
    "the needed score is ten too high": _around(
        "means.needed_score", lambda f: lambda v, p, t: f(v, p, t) + 10
    ),
    "the needed score is fifteen too low": _around(
        "means.needed_score", lambda f: lambda v, p, t: f(v, p, t) - 15
    ),
    "errors are scores": _around("scales.error_rates", lambda f: lambda t: 100.0 - f(t)),
    "normalising subtracts": {"kexue.leaderboard.scales.normalise": lambda t, r: t - t[r] + 100.0},
    "Dowdall is Borda": {"kexue.leaderboard.voting.dowdall": voting.borda},
    "plurality counts last places": _around("voting.plurality", lambda f: lambda t: f(-t)),
    "rounding is forgotten": _around(
        "uncertainty.rounding_draws", lambda f: lambda t, **k: f(t, **{**k, "half_unit": 0.0})
    ),
    "test sets are a hundred times smaller": _around(
        "uncertainty.sampling_draws", lambda f: lambda t, n, **k: f(t, np.maximum(n / 100, 1.0), **k)
    ),
    "matches look at the first row only": _around(
        "forensics.matches", lambda f: lambda c, p, **k: f(c, dict(list(p.items())[:1]), slack=0.2)
    ),
    "matches stop at the first": _around("forensics.matches", _only_first_match),
}

TURNED_BY = {
    "means-are-ordered": "GM and HM are interchanged",
    "glue-mixed-human-first": "ranks start from zero",
    "glue-mixed-human-first-later": "ranks start from zero",
    "glue-same-columns-human-not-first": "the fourteen best rows go unranked",
    "superglue-mixed-human-first": "ranks start from zero",
    "superglue-am10-human-first": "ranks start from zero",
    "superglue-am10-human-first-later": "ranks start from zero",
    "means-agree-glue": "tau reads one ranking backwards",
    "means-agree-glue-later": "tau reads one ranking twice",
    "means-agree-superglue": "tau reads one ranking backwards",
    "human-place-hardly-moves": "the harmonic mean is almost the minimum",
    "glue-models-lose-little": "the arithmetic mean puts the worst first",
    "glue-no-power-mean-lifts-humans": "the margin has the wrong sign",
    "superglue-no-power-mean-lifts-humans": "extreme exponents are clipped",
    "superglue-usual-powers-leave-humans-behind": "the margin has the wrong sign",
    "paper-humans-lead-superglue": "ranks start from zero",
    "paper-lead-survives-on-official-eight": "the four best rows go unranked",
    "gm-hm-hurt-humans-on-usual-sets": "the margin has the wrong sign",
    "xtreme-order-kept": "the harmonic mean is almost the minimum",
    "xglue-dominated": "dominance is turned round",
    "official-glue": "official scores count a task twice",
    "official-superglue": "official scores count a task twice",
    "official-xtreme": "official scores count a task twice",
    "official-xglue": "official scores count a task twice",
    "skipping-recreates-the-mix": "GM and HM are interchanged",
    "ax-harmonic-within-reach": "the needed score is ten too high",
    "ax-harmonic-within-reach-later": "the needed score is fifteen too low",
    "ax-others-out-of-reach": "the needed score is fifteen too low",
    "multirc-alone-decides": "ranks start from zero",
    "multirc-alone-decides-later": "ranks start from zero",
    "axb-alone-decides": "ranks start from zero",
    "other-tasks-do-not-decide": "ranks start from zero",
    "tasks-outweigh-the-mean": "variance shares are exchanged",
    "shapley-names-two-tasks": "Shapley values come in reverse",
    "errors-turn-the-order": "errors are scores",
    "three-scales-three-winners": "errors are scores",
    "gm-forgets-the-reference": "normalising subtracts",
    "am-remembers-the-reference": "normalising subtracts",
    "votes-dowdall-human": "Dowdall is Borda",
    "votes-plurality-tie": "plurality counts last places",
    "rounding-leaves-a-tie-open": "rounding is forgotten",
    "sampling-could-put-humans-first": "test sets are a hundred times smaller",
    "sampling-keeps-humans-first-on-ten": "test sets are a hundred times smaller",
    "printed-means-identify-all-rules": "matches stop at the first",
    "printed-means-identify-leading-columns": "matches look at the first row only",
}


@cache
def _verdicts_with(fault: str) -> dict[str, str]:
    return execute("leaderboard", faults=FAULTS[fault])


def test_every_claim_has_a_fault() -> None:
    assert set(TURNED_BY) == {claim.id for claim in chapter("leaderboard").claims}
    assert set(TURNED_BY.values()) == set(FAULTS)


def test_without_a_fault_every_claim_is_judged() -> None:
    assert set(sound("leaderboard").values()) <= {"reproduced", "refuted", "inconclusive"}


@pytest.mark.parametrize("claim", sorted(TURNED_BY, key=lambda claim: TURNED_BY[claim]))
def test_fault_turns_the_verdict(claim: str) -> None:
    assert _verdicts_with(TURNED_BY[claim])[claim] != sound("leaderboard")[claim]
