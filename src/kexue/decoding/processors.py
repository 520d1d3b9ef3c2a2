"""The remedies as logits processors for transformers' ``generate``.

A processor is any callable ``(input_ids, scores) -> scores``; nothing here imports transformers.

What to know of ``generate`` (read in the source of transformers 5.23):

* your processors run *after* its bans (``min_new_tokens``, ``suppress_tokens``, …): a −∞ they left on ``<eos>`` stays;
* your processors run *before* temperature, ``top_k``, ``top_p``, ``min_p``, ``typical_p``, ``top_h`` and the two cutoffs, each
  of which can throw ``<eos>`` out again: switch them off next to ``ConsistentTopK`` or ``ConsistentTopP``, whatever
  the model's own generation config says;
* with ``do_sample=True`` and nothing else said, it uses ``top_k=50``;
* a model may have several end tokens (``model.generation_config.eos_token_id``); give all of them;
* sampling hands over logits, beam search log-probabilities: these processors take either.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kexue.decoding.bounds import epsilon_for
from kexue.decoding.envelopes import check_epsilon, post_hoc
from kexue.decoding.rules import nucleus


def _ends(eos: int | Sequence[int]) -> list[int]:
    """The end tokens as a list, each once."""
    if eos is None:  # what a tokenizer without an end token has
        raise ValueError("eos is None, want the index of <eos>, or of every end token the model has")
    ends = [eos] if isinstance(eos, int) else list(dict.fromkeys(eos))
    if not ends:
        raise ValueError(f"eos is {eos}, want at least one end token")
    return ends


def _check_ends(ends: list[int], scores: Float[Tensor, "batch vocabulary"]) -> None:
    for eos in ends:
        if not 0 <= eos < scores.shape[1]:
            raise ValueError(f"eos is {eos}, want an index into the vocabulary of {scores.shape[1]} tokens")


class ConsistentTopK:
    """Top-k that never drops ``<eos>``; use with ``top_k=0, top_p=1.0``.

    An ``<eos>`` that a processor before this one forbade (−∞) stays forbidden.

    Args:
        k: the most likely tokens kept; ``<eos>`` is added where it is not one of them.
        eos: the index of ``<eos>``, or of every end token; all of them are kept.

    Raises:
        ValueError: naming ``k`` or ``eos``.

    Source: Welleck et al. 2020, section 4.1.
    """

    def __init__(self, k: int, eos: int | Sequence[int]) -> None:
        if k < 1:
            raise ValueError(f"k is {k}, want at least 1")
        self.k, self.ends = k, _ends(eos)

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log p`` on the k best and ``<eos>``, −∞ elsewhere."""
        _check_ends(self.ends, scores)
        if self.k > scores.shape[1]:
            raise ValueError(f"k is {self.k}, want at most the vocabulary's {scores.shape[1]} tokens")
        law = scores.log_softmax(dim=1)
        keep = torch.zeros_like(law, dtype=torch.bool).scatter_(1, law.topk(self.k, dim=1).indices, True)
        keep[:, self.ends] = True
        return law.masked_fill(~keep, -torch.inf)


class ConsistentTopP:
    """Nucleus sampling that never drops ``<eos>``; use with ``top_k=0, top_p=1.0``.

    An ``<eos>`` that a processor before this one forbade (−∞) stays forbidden.

    Args:
        mass: μ in (0, 1).
        eos: the index of ``<eos>``, or of every end token; all of them are kept.

    Raises:
        ValueError: naming ``mass`` or ``eos``.

    Source: Welleck et al. 2020, section 4.1.
    """

    def __init__(self, mass: float, eos: int | Sequence[int]) -> None:
        if not 0.0 < mass < 1.0:
            raise ValueError(f"mass is {mass}, want a number inside (0, 1)")
        self.mass, self.ends = mass, _ends(eos)

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """``log p`` on the nucleus and ``<eos>``, −∞ elsewhere."""
        _check_ends(self.ends, scores)
        law = scores.log_softmax(dim=1)
        keep = nucleus(law, self.mass)
        keep[:, self.ends] = True
        return law.masked_fill(~keep, -torch.inf)


class PostHocNMST:
    """Make any model non-monotonically self-terminating, without training; works with every decoder.

    At generated step t all other tokens lose the factor ``(1 - eps)^t`` to ``<eos>``. Greedy decoding then stops within
    ``bounds.greedy_limit(eps)`` tokens; give ``horizon`` to have ε chosen for that. Sampled texts feel ε much sooner:
    half of them end within about ``sqrt(2 horizon)`` tokens (``bounds.sampling_survival``).

    Several end tokens count as one: the likeliest of them carries the mass of all, the others get none. Shared out, a
    mass above ½ could leave every single end token behind some word, and the limit would be lost.

    A step at which a processor before this one forbade every end token (−∞: ``min_new_tokens``, a grammar) or left
    nothing else (``forced_eos_token_id``) is left as it is; so the limit holds from the first step that may end.

    Args:
        eos: the index of ``<eos>``, or of every end token.
        prompt: tokens that ``input_ids`` holds before the first generated one: ``input_ids.shape[1]`` for a causal
            model, 1 for most encoder–decoder models.
        epsilon: ε in (0, 1).
        horizon: the largest number of new tokens of greedy decoding, in place of ``epsilon``.

    Raises:
        ValueError: unless exactly one of ``epsilon`` and ``horizon`` is given; for no ``eos``, or one outside the
            vocabulary.
    """

    def __init__(
        self,
        eos: int | Sequence[int],
        prompt: int,
        *,
        epsilon: float | None = None,
        horizon: int | None = None,
    ) -> None:
        if horizon is not None and epsilon is None:
            epsilon = epsilon_for(horizon)
        elif epsilon is None or horizon is not None:
            raise ValueError(f"epsilon is {epsilon} and horizon is {horizon}, want exactly one of them")
        check_epsilon(epsilon)
        self.ends, self.prompt, self.epsilon = _ends(eos), prompt, epsilon

    def __call__(
        self, input_ids: Int[Tensor, "batch length"], scores: Float[Tensor, "batch vocabulary"]
    ) -> Float[Tensor, "batch vocabulary"]:
        """Normalised log-probabilities of step ``t = length - prompt + 1``."""
        _check_ends(self.ends, scores)
        step = input_ids.shape[1] - self.prompt + 1
        if step < 1:
            raise ValueError(
                f"prompt is {self.prompt}, want at most the {input_ids.shape[1]} tokens that input_ids holds"
            )
        stops = scores[:, self.ends]
        likeliest = torch.tensor(self.ends, device=scores.device)[stops.argmax(dim=1, keepdim=True)]
        words = scores.index_fill(1, torch.tensor(self.ends, device=scores.device), -torch.inf)
        first = self.ends[0]  # <eos> for all rows alike while its mass is worked out
        joined = words.clone()
        joined[:, first] = stops.logsumexp(dim=1)
        law = post_hoc(joined, step, self.epsilon, first)
        settled = (joined[:, first].isneginf() | words.isneginf().all(dim=1))[:, None]
        law = torch.where(settled, joined.log_softmax(dim=1), law)
        stop = law[:, first : first + 1].clone()
        law[:, first] = -torch.inf
        return law.scatter(1, likeliest, stop)
