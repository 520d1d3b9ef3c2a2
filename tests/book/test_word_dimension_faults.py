"""Each claim of the word-dimension chapter can be wrong: a fault in the code it measures turns its verdict."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from kexue.embedding import (
    angles,
    annealed,
    asymptotic,
    bilinear,
    codebook,
    johnson_lindenstrauss,
    retrieval,
    skipgram,
)
from tests.book.chapters import chapter, execute, sound

SLUG = "word-dimension"
EMBEDDING = "kexue.embedding."


def _entropy(joint: Any = None, rows: float = 0.0, largest: float = 1.0) -> Any:
    """Exact entropies with the joint one replaced, the rows' shifted, the largest logit stretched."""
    exact = codebook.softmax_entropy

    def faulty(u: Any, v: Any, **options: Any) -> codebook.SoftmaxEntropy:
        found = exact(u, v, **options)
        value = found.joint if joint is None else joint(u, v, found.joint)
        return codebook.SoftmaxEntropy(value, found.rows + rows, found.largest * largest)

    return faulty


def _by_the_formula(u: Any, v: Any, **options: Any) -> codebook.SoftmaxEntropy:
    """Entropies, of the whole and of each row, from the formula that is to be judged."""
    found, size, n = exact_entropy(u, v, **options), len(u), u.shape[1]
    beta = float((u[0] ** 2).sum()) / n
    rows = torch.full_like(found.rows, formula(n, size, beta, softmax="row"))
    return codebook.SoftmaxEntropy(formula(n, size, beta), rows, found.largest)


def _fit_for_any_structure(target: Any, n: int, **options: Any) -> bilinear.Fit:
    nothing = torch.zeros(len(target), n)
    return bilinear.Fit(nothing, nothing, 0.05 if n >= 0.6 * len(target) else 1.0)


def _unit_components(tokens: Any, vocabulary: int, n: int, **options: Any) -> skipgram.Embedding:
    return skipgram.Embedding(torch.ones(vocabulary, n), torch.ones(vocabulary, n))


density, distribution = angles.angle_density, angles.cosine_distribution
formula, offset, exact_entropy = annealed.annealed_entropy, annealed.offset, codebook.softmax_entropy
close_pairs, curvature = codebook.close_pairs, asymptotic.curvature
sufficient, norm_bound = johnson_lindenstrauss.sufficient_dimension, johnson_lindenstrauss.norm_bound
projection, self_probability = johnson_lindenstrauss.gaussian_projection, retrieval.self_probability

# Several faults a run, each in the way of other claims: (seeds, faults, claims that they turn)
FAULTS: dict[str, tuple[tuple[int, ...], dict[str, Any], tuple[str, ...]]] = {
    "wrong density, wrong tail, h too small, the printed constant, lax bounds": (
        (0,),
        {
            "angles.angle_density": lambda theta, n: 1.01 * density(theta, n),
            "angles.cosine_distribution": lambda cosine, n: distribution(cosine, n + 2),
            "annealed.offset": lambda n, beta=1.0: 0.9 * offset(n, beta),
            "asymptotic.coefficient": lambda beta=1.0, softmax="joint": 8.33,
            "asymptotic.curvature": lambda beta=1.0: curvature(beta) * (1 - 4e-6),
            "codebook.close_pairs": lambda u, v, cosine, **o: close_pairs(u, v, cosine, **o) + 5,
            "johnson_lindenstrauss.norm_bound": lambda n, epsilon: norm_bound(n, epsilon) / 10,
            "johnson_lindenstrauss.sufficient_dimension": lambda n, e, factor=24.0: (
                sufficient(n, e, factor) / 20
            ),
            "retrieval.self_probability": lambda codes, **o: self_probability(codes, **o) ** 3,
        },
        (
            "angle-density",
            "angle-simulated",
            "h-table",
            "worked-example-64",
            "linearity-slope",
            "laplace-constant",
            "laplace-intermediates",
            "rule-constant",
            "rule-order",
            "example-100k",
            "example-5m",
            "attention-52",
            "joint-or-row",
            "norm-robust",
            "no-close-pair",
            "jl-norm",
            "jl-orthogonality",
            "jl-lemma",
            "jl-coincidence",
            "retrieval-constant",
        ),
    ),
    "h halved, entropies shifted, the closest pair closer, five times the lemma, a projection to two": (
        (0,),
        {
            "annealed.offset": lambda n, beta=1.0: 0.5 * offset(n, beta),
            "codebook.softmax_entropy": _entropy(lambda u, v, exact: exact - 10, rows=1, largest=1.2),
            "johnson_lindenstrauss.sufficient_dimension": lambda n, e, factor=24.0: (
                5 * sufficient(n, e, factor)
            ),
            "johnson_lindenstrauss.gaussian_projection": lambda x, n, **o: projection(x, 2, **o),
        },
        (
            "entropy-identity",
            "worked-example-128",
            "sampling-approximation",
            "entropy-never-negative",
            "corpus-criterion-exact",
            "attention-row",
            "freezing-angle",
            "closest-pair-law",
            "jl-very-sufficient",
            "pca-beats-projection",
        ),
    ),
    "h falls as the square of n": (
        (0,),
        {"annealed.offset": lambda n, beta=1.0: -(n**2) / 100},
        ("linearity-fit", "attention-scaled", "scaled-never-freezes"),
    ),
    "a corpus without entropy, entropies by the formula, h proportional to the norm": (
        (0,),
        {
            "corpus.miller_madow_entropy": lambda counts: 0.0,
            "codebook.softmax_entropy": _by_the_formula,
            "annealed.offset": lambda n, beta=1.0: beta * offset(n),
        },
        (
            "approximation-past-threshold",
            "row-as-sharp",
            "zero-for-corpus-entropy",
            "corpus-slope",
            "linear-in-scale",
        ),
    ),
    "fits that see only N, training that does nothing, a loss that sees the dimension, shifted entropies": (
        (0, 1, 2),
        {
            "bilinear.fit_bilinear": _fit_for_any_structure,
            "skipgram.train_skipgram": _unit_components,
            "skipgram.negative_sampling_loss": lambda embedding, *arguments, **options: (
                4 - 0.01 * embedding.centres.shape[1]
            ),
            "codebook.softmax_entropy": _entropy(lambda u, v, exact: exact + 10),
        },
        (
            "room-at-rule",
            "elbow-at-rule",
            "elbow-log-law",
            "elbow-n-alone",
            "elbow-follows-rank",
            "flat-beyond-50",
            "flat-beyond-rule",
            "trained-norms",
            "norm-law",
            "model-below-corpus",
        ),
    ),
}
TURNED = [(claim, fault) for fault, (_, _, claims) in FAULTS.items() for claim in claims]


@cache
def _verdicts_with(fault: str) -> dict[str, str]:
    seeds, faults, _ = FAULTS[fault]
    return execute(SLUG, seeds=seeds, faults={EMBEDDING + name: faulty for name, faulty in faults.items()})


def test_every_claim_has_a_fault() -> None:
    assert sorted(claim for claim, _ in TURNED) == sorted(claim.id for claim in chapter(SLUG).claims)


def test_without_a_fault_every_claim_is_judged() -> None:
    assert set(sound(SLUG).values()) <= {"reproduced", "refuted", "inconclusive"}


@pytest.mark.parametrize(("claim", "fault"), TURNED)
def test_fault_turns_the_verdict(claim: str, fault: str) -> None:
    seeds, _, _ = FAULTS[fault]
    assert _verdicts_with(fault)[claim] != sound(SLUG, seeds=seeds)[claim]
