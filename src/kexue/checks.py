"""What a function that a caller hands in gave back: one shape, checked where it comes in, never broadcast."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def returned(function: str, value: object, wanted: Sequence[int | str], given: Sequence[int]) -> Tensor:
    """The tensor that a caller's function returned, or an error that names both shapes.

    A mean over the batch (a scalar), or a result for one example where there are many, would be broadcast without a
    word in the next sum; so would a last axis of length one.

    Args:
        function: its name, for the message.
        value: what it returned.
        wanted: the length of each axis; a word stands for an axis of any length.
        given: the shape of what it was called with, for the message.

    Returns:
        The value.

    Raises:
        ValueError: when it is no tensor of that shape.
    """
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{function} must return a tensor of shape {_axes(wanted)}, got {value!r} of type {type(value).__name__}"
        )
    fits = len(value.shape) == len(wanted) and all(
        isinstance(size, str) or size == here for here, size in zip(value.shape, wanted, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{function} must return shape {_axes(wanted)} for what it is given, shape {_axes(given)}; "
            f"got shape {_axes(value.shape)}"
        )
    return value


def _axes(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
