"""Runs a chapter's code cells in this process, with faults planted in the library if asked, and judges its claims."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jaxtyping

from kexue.claims import Measurement, ledger, pool, verdict_of
from kexue.press.sources.catalogue import select
from kexue.press.sources.chapter import Chapter

ROOT = Path(__file__).parents[2]


def chapter(slug: str) -> Chapter:
    """A chapter of this book."""
    (found,) = select(ROOT, [slug])
    return found


@contextmanager
def planted(faults: Mapping[str, Any]) -> Iterator[None]:
    """Replace objects by dotted name, in the module that defines them and wherever the library holds the same object.

    With a fault planted, annotated shapes are not checked: it takes a third of the time, and the run without one has it.
    """
    undo: list[tuple[Any, str, Any]] = []
    known = set(sys.modules)
    try:
        for name, fault in faults.items():
            module, _, attribute = name.rpartition(".")
            sound = getattr(importlib.import_module(module), attribute)
            for holder in [m for n, m in sys.modules.items() if n.split(".")[0] == "kexue" and m is not None]:
                for key, value in list(vars(holder).items()):
                    if value is sound:
                        undo.append((holder, key, value))
                        setattr(holder, key, fault)
        jaxtyping.config.update("jaxtyping_disable", bool(faults))
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
        for holder, key, value in reversed(undo):
            setattr(holder, key, value)
        _forget(faults, known)


def _forget(faults: Mapping[str, Any], known: Container[str]) -> None:
    """Take faults out of the modules that were first imported while they were planted, all but the `known` ones."""
    for name, fault in faults.items():
        module, _, attribute = name.rpartition(".")
        sound = getattr(importlib.import_module(module), attribute)
        for holder in [m for n, m in sys.modules.items() if n.split(".")[0] == "kexue" and n not in known]:
            if vars(holder).get(attribute) is fault:
                setattr(holder, attribute, sound)


def measurements(slug: str, *, profile: str, seed: int, sizes: str | None = None) -> dict[str, Measurement]:
    """What a run of the chapter measures, by claim; the cells share one namespace, figures go nowhere.

    `sizes` names another profile, whose settings take the place of those of `profile`; only the minutes stay.
    """
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {"__name__": "__main__"}
    ledger.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        for cell in chapter(slug).code_cells:
            code = compile("\n" * (cell.line - 1) + cell.source, f"{slug}.md", "exec")
            exec(code, namespace)
            if "parameters" in cell.tags:
                namespace.update(profile=profile, seed=seed, device="cpu")
            if sizes is not None and cell.source.startswith("table = {"):
                column = ("smoke", "quick", "full").index(sizes)
                smaller = {name: row[column] for name, row in namespace["table"].items() if name != "minutes"}
                namespace["settings"].update(smaller)
            plt.close("all")
    return dict(ledger.current().measurements)


def execute(
    slug: str, *, profile: str = "smoke", seeds: Sequence[int] = (0,), faults: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The verdict of each claim of a chapter, pooled over the seeds, with `faults` planted in the library."""
    with planted(faults or {}):
        runs = [measurements(slug, profile=profile, seed=seed) for seed in seeds]
    return {
        claim.id: verdict_of(claim, pool(claim, [run[claim.id] for run in runs if claim.id in run]), profile)
        for claim in chapter(slug).claims
    }


@cache
def sound(slug: str, profile: str = "smoke", seeds: tuple[int, ...] = (0,)) -> Mapping[str, str]:
    """The verdicts without a fault, computed once."""
    return execute(slug, profile=profile, seeds=seeds)
