"""Termination computed, not sampled: finite-state models under any decoder, and small models by enumeration."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse import linalg as sparse_linalg
from torch import Tensor

from kexue.checks import returned
from kexue.decoding.ngram import FiniteModel
from kexue.decoding.protocol import LanguageModel, check_context, check_model, next_logits, select
from kexue.decoding.rules import Rule, law_of


class Chain(NamedTuple):
    """The Markov chain a decoder really walks on a finite-state model.

    Attributes:
        moves: ``A[i, j] = q(v | h_i)`` where ``h_j`` is ``h_i`` without its first word and with ``v`` behind it.
        stop: ``e[i] = q(eos | h_i)``.
        states: the histories ``h_i``, oldest word first.
    """

    moves: sparse.csr_array
    stop: Float64[np.ndarray, " states"]
    states: Int[np.ndarray, "states memory"]

    def law(self, histories: Int[Tensor, "batch memory"]) -> Float64[np.ndarray, " states"]:
        """The share of each state among given histories, each of which must be a state.

        Raises:
            ValueError: naming the first history that is none.
        """
        index = {tuple(state): place for place, state in enumerate(self.states.tolist())}
        share = np.zeros(len(self.states))
        for history in histories.tolist():
            if tuple(history) not in index:
                raise ValueError(f"histories holds {history}, want states the chain was built from")
            share[index[tuple(history)]] += 1.0 / len(histories)
        return share


def decoded_chain(
    model: FiniteModel, rule: Rule, start: Int[Tensor, "histories memory"], block: int = 256
) -> Chain:
    """The Markov chain a decoder really walks: transitions between histories, and the chance to stop from each.

    Only histories that can be reached from ``start`` are written out, so that a corpus's own vocabulary is affordable.

    Args:
        model: a finite-state model.
        rule: the decoder.
        start: the last words of the contexts.
        block: rows written out at a time.

    Returns:
        The chain; its first states are those of ``start``, without repetitions, in the order they come.
    """
    index: dict[tuple[int, ...], int] = {}
    for history in start.tolist():
        index.setdefault(tuple(history), len(index))
    waiting, rows, columns, chances, stop = list(index), [], [], [], []
    while waiting:
        histories, waiting = torch.tensor(waiting[:block]), waiting[block:]
        logits = returned(
            "model.rows", model.rows(histories), (len(histories), model.vocabulary), histories.shape
        )
        law = law_of(rule, logits, model.eos).exp().double()
        stop.append(law[:, model.eos].clone())
        law[:, model.eos] = 0.0
        here, there = law.nonzero(as_tuple=True)
        first = sum(len(part) for part in stop[:-1])
        followers = torch.cat([histories[here, 1:], there[:, None]], dim=1).tolist()
        for follower in map(tuple, followers):
            if follower not in index:
                index[follower] = len(index)
                waiting.append(follower)
        rows.append(here.numpy() + first)
        columns.append(np.array([index[tuple(follower)] for follower in followers], dtype=np.int64))
        chances.append(law[here, there].numpy())
    place = (np.concatenate(rows), np.concatenate(columns))
    moves = sparse.coo_array((np.concatenate(chances), place), shape=(len(index), len(index))).tocsr()
    return Chain(moves, torch.cat(stop).numpy(), np.array(list(index)))


def termination(chain: Chain) -> Float64[np.ndarray, " states"]:
    """The probability of ever stopping from each state: the least non-negative solution of ``x = e + A x``.

    States that cannot reach a stop have 0. States that cannot reach such a state have 1. Only for the rest is a sparse
    linear system solved.

    Args:
        chain: ``A`` and ``e``.

    Returns:
        ``x`` in [0, 1].

    Source: absorption probabilities of a finite Markov chain; the decision "iff no reachable state is unable to stop"
    as in Du et al. 2023.
    """
    moves, stop, _ = chain
    able = _reaching(moves, stop > 0)
    risky = _reaching(moves, ~able) & able
    result = np.where(able, 1.0, 0.0)
    if risky.any():
        places = np.flatnonzero(risky)
        inner = moves[places][:, places]
        safe = able & ~risky
        known = stop[places] + np.asarray(moves[places] @ safe.astype(float)).ravel()
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
    chain: Chain, start: Float64[np.ndarray, " states"], horizon: int
) -> Float64[np.ndarray, " steps"]:
    """``r_L`` for L = 0 … horizon: the mass still alive after L generated tokens.

    Args:
        chain: ``A``; ``e`` is what it lacks.
        start: law of the last context token.
        horizon: largest L.

    Returns:
        Shape (horizon + 1,).
    """
    back = chain.moves.T.tocsr()
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
        logits, state = next_logits(model, token, state)
        law = law_of(rule, logits, model.eos).double().exp()[:, others]
        state = select(state, torch.arange(len(token)).repeat_interleave(words))
        token = others.repeat(len(token))
        mass = (mass[:, None] * law).flatten()
        curve.append(float(mass.sum()))
    return np.array(curve)
