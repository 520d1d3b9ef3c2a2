"""What comes in from a caller: tensors, and what the caller's own functions return, checked where they come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def tensor(name: str, value: object) -> Tensor:
    """A tensor as it is, a numpy array of floating-point numbers as a tensor that shares its memory.

    Args:
        name: the argument's name, for the message.
        value: what came.

    Raises:
        TypeError: for anything else, with what to call.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(value)
    if isinstance(value, Tensor) and value.is_floating_point():
        return value
    raise TypeError(
        f"{name} must be a floating-point tensor, got {described(value)}: give {call_for(name, value)}"
    )


def described(value: object) -> str:
    """The kind of something, and the type of its numbers if it has one."""
    kind = getattr(value, "dtype", None)
    return f"a {type(value).__name__}{'' if kind is None else f' of {kind}'}"


def call_for(name: str, value: object) -> str:
    """What makes a floating-point tensor of it."""
    if isinstance(value, Tensor):
        return f"{name}.double()"
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return f"torch.from_numpy({name})"
    held = f"{name}.to_numpy()" if hasattr(value, "to_numpy") else name
    return f"torch.tensor({held}, dtype=torch.float64)"


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
