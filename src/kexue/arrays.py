"""Numbers as they come, at the doors of the functions that compute with float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

Numbers = Any
"""What `array` takes: an array or tensor of real numbers, a DataFrame or Series of them, lists, a number."""


def array(name: str, value: Numbers) -> Float64[np.ndarray, ...]:
    """The numbers as a float64 array; one that is float64 already is not copied.

    Args:
        name: the argument's name, for the message.
        value: an array, a DataFrame or Series, (nested) lists, or a number; NaN marks what is missing.

    Raises:
        TypeError: for text, None and other objects, and for truth values: no number is guessed from them.
        ValueError: for lists of different lengths.
    """
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a table of numbers, got lists that make none: {error}") from error
    if found.dtype.kind not in "fiu":
        raise TypeError(
            f"{name} must hold real numbers (NaN for a missing one), got {_what(value)}: choose the columns of numbers"
        )
    return found.astype(np.float64, copy=False)


def _what(value: Numbers) -> str:
    """What came, and of a table the columns that hold no numbers."""
    kind = type(value).__name__
    if not hasattr(value, "columns"):
        return f"a {kind} of {np.asarray(value).dtype}"
    return (
        f"a {kind} with others in {[name for name in value.columns if value[name].dtype.kind not in 'fiu']}"
    )
