"""What a language model is to a decoder: a state made from a prefix, and one step."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kexue.checks import described, returned

State = tuple[Any, ...]
"""A tuple of tensors whose first dimension is the batch; entries that are no tensor are shared by all rows."""


@runtime_checkable
class LanguageModel(Protocol):
    """A next-token law, advanced one token at a time.

    A context ``c_1 … c_k`` is read as ``state = init(c_1 … c_{k-1})`` and then ``logits, state = step(c_k, state)``:
    the logits that come back belong to the first token to be generated. The state handed to ``step`` is used up.
    """

    vocabulary: int
    eos: int

    def init(self, prefix: Int[Tensor, "batch length"]) -> State:
        """The state after reading ``prefix``, which may have no column."""
        ...

    def step(
        self, token: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """Unnormalised log-probabilities of the next token after reading ``token``, and the new state."""
        ...


def prepared(model: LanguageModel, tokens: int) -> LanguageModel:
    """The model as it is best asked for about ``tokens`` tokens in all: what its own method ``prepared`` returns, if any.

    Args:
        model: the language model.
        tokens: an upper bound of steps times rows.

    Returns:
        A model with the same law, to rounding.
    """
    made: LanguageModel = model.prepared(tokens) if hasattr(model, "prepared") else model
    return made


def next_logits(
    model: LanguageModel, token: Int[Tensor, " batch"], state: State
) -> tuple[Float[Tensor, "batch vocabulary"], State]:
    """``model.step``, its logits checked to be a row a text and a column a token of the vocabulary.

    Args:
        model: the language model.
        token: the last token of every row.
        state: what came before; used up.

    Returns:
        Logits of the next token, and the new state.

    Raises:
        ValueError: when the model returns logits of another shape, such as a row for each position of a text.
    """
    logits, state = model.step(token, state)
    return returned("model.step", logits, (len(token), model.vocabulary), token.shape), state


def select(state: State, rows: Int[Tensor, " kept"]) -> State:
    """Keep (or reorder, or repeat) the batch rows of a state.

    Args:
        state: a tuple; tensors have the batch first, nested tuples are followed, everything else is shared.
        rows: indices into the batch, int64.

    Returns:
        The state of those rows, in that order.
    """
    return tuple(
        entry.index_select(0, rows)
        if isinstance(entry, Tensor)
        else select(entry, rows)
        if isinstance(entry, tuple)
        else entry
        for entry in state
    )


def same_rows(first: State, second: State) -> Bool[Tensor, " batch"] | bool:
    """Which rows of two states are equal bit for bit; entries shared by all rows must be equal for any row to be.

    Args:
        first: a state.
        second: a state of the same layout.

    Returns:
        One truth value a row, or a single one for a state without a tensor.
    """
    pairs = list(zip(first, second, strict=True))
    # Clocks first: where they differ no tensor need be read.
    if any(one != other for one, other in pairs if not isinstance(one, Tensor | tuple)):
        return False
    equal: Tensor | bool = True
    for one, other in pairs:
        if isinstance(one, Tensor):
            equal = (one == other).view(len(one), -1).all(dim=1) & equal
        elif isinstance(one, tuple):
            equal = same_rows(one, other) & equal
    return equal


def check_model(model: LanguageModel) -> None:
    """Refuse a model whose vocabulary has no ``<eos>``.

    Raises:
        ValueError: when ``model.eos`` is not an index into the vocabulary.
    """
    if not 0 <= model.eos < model.vocabulary:
        raise ValueError(
            f"model.eos is {model.eos}, want an index into the vocabulary of {model.vocabulary} tokens: "
            "a vocabulary without <eos> cannot stop"
        )


def check_context(context: Int[Tensor, "batch length"], vocabulary: int) -> None:
    """Refuse an empty context and tokens outside the vocabulary.

    Raises:
        TypeError: when ``context`` is no tensor of whole numbers.
        ValueError: naming ``context``, its shape or the offending token.
    """
    if not isinstance(context, Tensor) or context.is_floating_point():
        raise TypeError(
            f"context is {described(context)}, want a tensor of whole numbers, shape (batch, length): give "
            "torch.tensor(context, dtype=torch.int64)"
        )
    if context.ndim != 2 or context.shape[0] == 0 or context.shape[1] == 0:
        raise ValueError(
            f"context has shape {tuple(context.shape)}, want (batch, length) with at least one row and one token "
            "(give an empty context its <bos>)"
        )
    low, high = int(context.min()), int(context.max())
    if low < 0 or high >= vocabulary:
        raise ValueError(f"context holds tokens {low} … {high}, want 0 … {vocabulary - 1}")


def check_call(model: LanguageModel, context: Int[Tensor, "batch length"], horizon: int) -> None:
    """What every decoding loop checks before its first step: the model, the context and the horizon.

    Raises:
        ValueError: as ``check_model``, ``check_context`` and ``check_horizon`` do.
    """
    check_model(model)
    check_context(context, model.vocabulary)
    check_horizon(horizon)


def check_horizon(horizon: int) -> None:
    """Refuse a horizon below one step.

    Raises:
        ValueError: naming ``horizon``.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}, want at least 1 step")


def check_logits(logits: Float[Tensor, "batch vocabulary"]) -> None:
    """Refuse logits from which no token can be drawn.

    A logit of −∞ is a probability 0 and is fine; NaN, +∞, or a row of −∞ is not.

    Raises:
        ValueError: naming ``logits`` and the first bad row.
    """
    best = logits.amax(dim=-1)
    if not bool(torch.isfinite(best).all()):
        row = int((~torch.isfinite(best)).nonzero()[0, 0])
        raise ValueError(
            f"logits of row {row} have maximum {float(best[row])}, want a finite one: NaN, +inf and rows of -inf "
            "are no distribution"
        )
