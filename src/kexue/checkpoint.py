"""Training that stops when its time is up and goes on in another process from where it was.

What is kept belongs to the code that made it: to the run of a chapter, every cell and every module it reaches, or, in a
notebook opened by hand and in a script, to what has been loaded and executed there. Code that is changed trains anew;
another comment, docstring or layout changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
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


NO_TRAINING = ("kexue.press", "kexue.cli", "kexue.claims")
"""Packages whose code no number of a training depends on."""


def place(name: str, settings: Mapping[str, Any]) -> Path:
    """The file in which a training is kept, another one for other code, other data or other settings.

    The code is that of the run, whose digest the press hands over in the variable KEXUE_RUN; without it the one of
    all modules of this library that are loaded, and of the cells executed so far in this session or of the main script.

    Args:
        name: of the training; its chapter, seed and device belong in it.
        settings: what else the training depends on.

    Returns:
        A path in the folder that the variable KEXUE_CHECKPOINTS names, else in the user's cache.
    """
    code = os.environ.get("KEXUE_RUN") or json.dumps([_modules(), _executed(), _data()])
    digest = hashlib.sha256(f"{code}\n{sorted(settings.items())!r}".encode())
    folder = os.environ.get("KEXUE_CHECKPOINTS") or platformdirs.user_cache_path("kexue") / "checkpoints"
    return Path(folder) / f"{name}-{digest.hexdigest()[:12]}.pt"


def _modules() -> dict[str, str]:
    """The code of every loaded module of this library that can decide a number."""
    loaded = {
        name: getattr(module, "__file__", None)
        for name, module in sorted(sys.modules.items())
        if name.split(".")[0] == "kexue" and ".".join(name.split(".")[:2]) not in NO_TRAINING
    }
    return {name: _code(Path(file).read_text(encoding="utf-8")) for name, file in loaded.items() if file}


def _executed() -> list[str]:
    """The code executed in this session, each cell once however often it was run; else that of the main script."""
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
        return list(dict.fromkeys(_code(cell) for cell in shell.history_manager.input_hist_parsed))
    script = getattr(sys.modules["__main__"], "__file__", None)
    return [_code(Path(script).read_text(encoding="utf-8"))] if script else []


def _data() -> dict[str, str]:
    """The data sets read so far, with their digests."""
    reader = sys.modules.get("kexue.data")
    return {} if reader is None else dict(sorted(reader.digests_read().items()))


@cache
def _code(source: str) -> str:
    """What computes: without comments, docstrings and layout; the text itself where it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


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
