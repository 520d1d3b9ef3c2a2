"""The remedies as logits processors for transformers' ``generate``.

A processor is any callable ``(input_ids, scores) -> scores``; nothing here imports transformers.

Three things to know (transformers 5.23):

* your processors run *before* the library's own top-k and top-p, which would throw ``<eos>`` out again: pass
  ``top_k=0, top_p=1.0`` next to ``ConsistentTopK`` or ``ConsistentTopP``;
* with ``do_sample=True`` and nothing else said, ``generate`` uses ``top_k=50``;
* sampling hands over logits, beam search log-probabilities: these processors take either.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kexue.decoding.bounds import epsilon_for
from kexue.decoding.envelopes import check_epsilon, post_hoc
from kexue.decoding.rules import nucleus


def _check_eos(eos: int, scores: Float[Tensor, "batch vocabulary"]) -> None:
    if not 0 <= eos < scores.shape[1]:
        raise ValueError(f"eos is {eos}, want an index into the vocabulary of {scores.shape[1]} tokens")


class ConsistentTopK:
    """Top-k that never drops ``<eos>``; use with ``top_k=0, top_p=1.0``.

    Args:
        k: candidates besides ``<eos>``.
        eos: the index of ``<eos>``.

    Source: Welleck et al. 2020, section 4.1.
    """

    def __init__(self, k: int, eos: int) -> None:
        if k < 1:
            raise ValueError(f"k is {k}, want at least 1")
        self.k, self.eos = k, eos

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log p`` on the k best and ``<eos>``, −∞ elsewhere."""
        _check_eos(self.eos, scores)
        if self.k > scores.shape[1]:
            raise ValueError(f"k is {self.k}, want at most the vocabulary's {scores.shape[1]} tokens")
        law = scores.log_softmax(dim=1)
        keep = torch.zeros_like(law, dtype=torch.bool).scatter_(1, law.topk(self.k, dim=1).indices, True)
        keep[:, self.eos] = True
        return law.masked_fill(~keep, -torch.inf)


class ConsistentTopP:
    """Nucleus sampling that never drops ``<eos>``; use with ``top_k=0, top_p=1.0``.

    Args:
        mass: μ in (0, 1).
        eos: the index of ``<eos>``.

    Source: Welleck et al. 2020, section 4.1.
    """

    def __init__(self, mass: float, eos: int) -> None:
        if not 0.0 < mass < 1.0:
            raise ValueError(f"mass is {mass}, want a number inside (0, 1)")
        self.mass, self.eos = mass, eos

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log p`` on the nucleus and ``<eos>``, −∞ elsewhere."""
        _check_eos(self.eos, scores)
        law = scores.log_softmax(dim=1)
        keep = nucleus(law, self.mass)
        keep[:, self.eos] = True
        return law.masked_fill(~keep, -torch.inf)


class PostHocNMST:
    """Make any model non-monotonically self-terminating, without training; works with every decoder.

    At generated step t all other tokens lose the factor ``(1 - eps)^t`` to ``<eos>``. Greedy decoding then stops within
    ``bounds.greedy_limit(eps)`` tokens; give ``horizon`` to have ε chosen for that.

    Args:
        eos: the index of ``<eos>``.
        prompt: tokens that ``input_ids`` holds before the first generated one: ``input_ids.shape[1]`` for a causal
            model, 1 for most encoder–decoder models.
        epsilon: ε in (0, 1).
        horizon: the largest number of new tokens, in place of ``epsilon``.

    Raises:
        ValueError: unless exactly one of ``epsilon`` and ``horizon`` is given.
    """

    def __init__(
        self, eos: int, prompt: int, *, epsilon: float | None = None, horizon: int | None = None
    ) -> None:
        if horizon is not None and epsilon is None:
            epsilon = epsilon_for(horizon)
        elif epsilon is None or horizon is not None:
            raise ValueError(f"epsilon is {epsilon} and horizon is {horizon}, want exactly one of them")
        check_epsilon(epsilon)
        self.eos, self.prompt, self.epsilon = eos, prompt, epsilon

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """Normalised log-probabilities of step ``t = length - prompt + 1``."""
        _check_eos(self.eos, scores)
        step = input_ids.shape[1] - self.prompt + 1
        if step < 1:
            raise ValueError(
                f"prompt is {self.prompt}, want at most the {input_ids.shape[1]} tokens that input_ids holds"
            )
        return post_hoc(scores, step, self.epsilon, self.eos)
