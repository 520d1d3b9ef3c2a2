"""Termination computed, not sampled: finite-state models under any decoder, and small models by enumeration."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse import linalg as sparse_linalg
from torch import Tensor

from kexue.decoding.protocol import LanguageModel, check_context, check_model, select
from kexue.decoding.rules import Rule


@runtime_checkable
class FiniteModel(Protocol):
    """A model whose state is its last token."""

    vocabulary: int
    eos: int

    def rows(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        """``log p(· | token)``."""
        ...


def decoded_chain(
    model: FiniteModel,
    rule: Rule,
    start: Int[Tensor, " states"] | None = None,
    block: int = 256,
) -> tuple[sparse.csr_array, Float64[np.ndarray, " vocabulary"]]:
    """The Markov chain a decoder really walks: transitions between words, and the chance to stop from each.

    Only rows that can be reached from ``start`` are written out, so that a corpus's own vocabulary is affordable.

    Args:
        model: a finite-state model.
        rule: the decoder.
        start: last tokens of the contexts; all tokens by default.
        block: rows written out at a time.

    Returns:
        ``A[u, v] = q(v | u)`` for ``v`` not ``<eos>``, and ``e[u] = q(eos | u)``; row and entry of ``<eos>``, and rows out
        of reach, are 0.
    """
    size = model.vocabulary
    rows, columns, chances = [], [], []
    done = torch.zeros(size, dtype=torch.bool)
    done[model.eos] = True
    wanted = torch.zeros(size, dtype=torch.bool)
    wanted[torch.arange(size) if start is None else start] = True
    while bool((wanted & ~done).any()):
        tokens = (wanted & ~done).nonzero().squeeze(1)[:block]
        law = rule.log_law(model.rows(tokens), model.eos).exp()
        here, there = law.nonzero(as_tuple=True)
        rows.append(tokens[here])
        columns.append(there)
        chances.append(law[here, there].double())
        done[tokens], wanted[there] = True, True
    place = (torch.cat(rows).numpy(), torch.cat(columns).numpy())
    chain = sparse.coo_array((torch.cat(chances).numpy(), place), shape=(size, size)).tocsc()
    stop = chain[:, [model.eos]].toarray().ravel()
    keep = np.ones(size)
    keep[model.eos] = 0.0
    return (chain @ sparse.diags_array(keep)).tocsr(), stop


def termination(
    chain: sparse.csr_array, stop: Float64[np.ndarray, " states"]
) -> Float64[np.ndarray, " states"]:
    """The probability of ever stopping from each state: the least non-negative solution of ``x = e + A x``.

    States that cannot reach a stop have 0. States that cannot reach such a state have 1. Only for the rest is a sparse
    linear system solved.

    Args:
        chain: ``A``, shape (states, states).
        stop: ``e``.

    Returns:
        ``x`` in [0, 1].

    Source: absorption probabilities of a finite Markov chain; the decision "iff no reachable state is unable to stop"
    as in Du et al. 2023.
    """
    able = _reaching(chain, stop > 0)
    risky = _reaching(chain, ~able) & able
    result = np.where(able, 1.0, 0.0)
    if risky.any():
        places = np.flatnonzero(risky)
        inner = chain[places][:, places]
        safe = able & ~risky
        known = stop[places] + np.asarray(chain[places] @ safe.astype(float)).ravel()
        system = sparse.eye_array(len(places), format="csc") - inner.tocsc()
        result[places] = np.atleast_1d(sparse_linalg.spsolve(system, known))
    return result.clip(0.0, 1.0)


def _reaching(chain: sparse.csr_array, targets: np.ndarray) -> np.ndarray:
    """States from which some target can be reached (targets included)."""
    if not targets.any():
        return targets.copy()
    states = chain.shape[0]
    ends = np.flatnonzero(targets)
    # One extra node with an edge to every target, on the reversed graph: a single breadth-first search.
    reversed_edges = chain.T.tocoo()
    rows = np.concatenate([reversed_edges.row, np.full(len(ends), states)])
    columns = np.concatenate([reversed_edges.col, ends])
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(states + 1, states + 1)).tocsr()
    order = csgraph.breadth_first_order(graph, states, return_predecessors=False)
    found = np.zeros(states + 1, dtype=bool)
    found[order] = True
    return found[:states]


def survival(
    chain: sparse.csr_array, start: Float64[np.ndarray, " states"], horizon: int
) -> Float64[np.ndarray, " steps"]:
    """``r_L`` for L = 0 … horizon: the mass still alive after L generated tokens.

    Args:
        chain: ``A``.
        start: law of the last context token.
        horizon: largest L.

    Returns:
        Shape (horizon + 1,).
    """
    back = chain.T.tocsr()
    mass = np.asarray(start, dtype=np.float64)
    curve = [mass.sum()]
    for _ in range(horizon):
        mass = back @ mass
        curve.append(mass.sum())
    return np.array(curve)


@torch.no_grad()
def enumerated_survival(
    model: LanguageModel, context: Int[Tensor, "batch context"], rule: Rule, horizon: int
) -> Float64[np.ndarray, " steps"]:
    """``r_L`` for L = 0 … horizon by walking all ``(|V| - 1)^L`` prefixes.

    Args:
        model: any language model over a few tokens.
        context: tokens, shape (1, context).
        rule: the decoder.
        horizon: largest L; the number of prefixes must stay below two million.

    Returns:
        Shape (horizon + 1,).

    Raises:
        ValueError: when there are too many prefixes, or more than one context.
    """
    check_model(model)
    check_context(context, model.vocabulary)
    words = model.vocabulary - 1
    if context.shape[0] != 1 or words**horizon > 2_000_000:
        raise ValueError(
            f"context has {context.shape[0]} rows and horizon {horizon} gives {words}**{horizon} prefixes, "
            "want one row and at most 2,000,000"
        )
    others = torch.tensor([token for token in range(model.vocabulary) if token != model.eos])
    state, token = model.init(context[:, :-1]), context[:, -1]
    mass, curve = torch.ones(1, dtype=torch.float64), [1.0]
    for _ in range(horizon):
        logits, state = model.step(token, state)
        law = rule.log_law(logits, model.eos).double().exp()[:, others]
        state = select(state, torch.arange(len(token)).repeat_interleave(words))
        token = others.repeat(len(token))
        mass = (mass[:, None] * law).flatten()
        curve.append(float(mass.sum()))
    return np.array(curve)
