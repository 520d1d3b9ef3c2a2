"""Training that stops when its time is up and goes on in another process from where it was."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import platformdirs
import torch


@runtime_checkable
class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> Any:
        """Everything it depends on."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Go on from `state_dict`."""


class Paused(RuntimeError):
    """The time is up before the last step; what was done is in the checkpoint.

    Args:
        step: the next step.
        steps: of the whole training.
        path: the checkpoint.
    """

    def __init__(self, step: int, steps: int, path: Path) -> None:
        super().__init__(
            f"{step} of {steps} steps are done and saved in {path}; run again to go on from there"
        )
        self.step = step


def place(name: str, module: ModuleType, settings: Mapping[str, Any]) -> Path:
    """The file in which a training is kept, another one for other code or other settings.

    Args:
        name: of the training; its chapter, seed and device belong in it.
        module: one of the package that trains; the modules beside it count as well.
        settings: what else the training depends on.

    Returns:
        A path in the folder that the variable KEXUE_CHECKPOINTS names, else in the user's cache.
    """
    if module.__file__ is None:
        raise ValueError(f"module must be one with a file, got {module.__name__}")
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for source in sorted(Path(module.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    folder = os.environ.get("KEXUE_CHECKPOINTS") or platformdirs.user_cache_path("kexue") / "checkpoints"
    return Path(folder) / f"{name}-{digest.hexdigest()[:12]}.pt"


def write(state: Mapping[str, Any], path: Path) -> None:
    """Write a state with `torch.save`, whole or not at all.

    Args:
        state: tensors, numbers, and lists and mappings of them.
        path: the file; its folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    torch.save(state, partial)
    os.replace(partial, path)


@dataclass
class Checkpoint:
    """Where a training keeps its state, and how long it may go on in this process.

    A file belongs to one training: the same networks, rules, data and settings must come with it every time.

    Args:
        path: the file, read if it exists.
        seconds: of this process, from the time the checkpoint is made.
        every: steps between two saves; the clock is looked at then. At least so many are done in any case.

    Raises:
        ValueError: for `every` below 1.
    """

    path: Path
    seconds: float
    every: int = 200
    _begun: float = field(default_factory=time.monotonic, init=False, repr=False)
    _resumed_at: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be ≥ 1, got {self.every}")

    def restore(self, parts: Mapping[str, Stateful], generator: torch.Generator) -> tuple[int, list[Any]]:
        """Bring everything to where the file left it.

        Args:
            parts: networks and optimisers by name, changed in place.
            generator: changed in place.

        Returns:
            The number of steps done and what was seen until then: 0 and nothing without a file.
        """
        if not self.path.exists():
            return 0, []
        state = torch.load(self.path, map_location=generator.device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        generator.set_state(state["generator"].cpu())
        self._resumed_at = int(state["step"])
        return self._resumed_at, list(state["seen"])

    def keep(
        self,
        step: int,
        steps: int,
        parts: Mapping[str, Stateful],
        generator: torch.Generator,
        seen: list[Any],
    ) -> None:
        """Save when it is time to, before step number `step`, and stop when the time is up.

        Args:
            step: the next step.
            steps: of the whole training.
            parts: as in `restore`.
            generator: as in `restore`.
            seen: what was seen until now.

        Raises:
            Paused: when the time is up.
        """
        if step == self._resumed_at or step % self.every:
            return
        self.save(step, parts, generator, seen)
        if time.monotonic() - self._begun >= self.seconds:
            raise Paused(step, steps, self.path)

    def save(
        self, step: int, parts: Mapping[str, Stateful], generator: torch.Generator, seen: list[Any]
    ) -> None:
        """Write everything that the next step depends on, whole or not at all.

        Args:
            step: the next step.
            parts: as in `restore`.
            generator: as in `restore`.
            seen: what was seen until now.
        """
        state = {
            "step": step,
            "seen": seen,
            "generator": generator.get_state(),
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        write(state, self.path)
