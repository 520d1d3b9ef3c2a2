"""How much memory tensors take while something runs."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made under it and still alive, and remembers the largest count.

    Storages are counted once however many tensors share them. What an operation allocates and frees inside itself is
    not seen, nor are tensors made before. Python's own memory tracer sees no tensor at all.

    Attributes:
        live: bytes held now.
        peak: the most that was held.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: int = 0
        self.peak: int = 0
        self._holders: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and count what it returns."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor)
        return out

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if not self._holders.get(place):
            self.live += size
            self.peak = max(self.peak, self.live)
        self._holders[place] = self._holders.get(place, 0) + 1
        weakref.finalize(tensor, self._let_go, place, size)

    def _let_go(self, place: int, size: int) -> None:
        self._holders[place] -= 1
        if not self._holders[place]:
            del self._holders[place]
            self.live -= size


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that the tensors made by ``work()`` held at one time.

    Args:
        work: called without arguments.

    Returns:
        Bytes.
    """
    with torch.no_grad(), TensorMemory() as memory:
        work()
    return int(memory.peak)
