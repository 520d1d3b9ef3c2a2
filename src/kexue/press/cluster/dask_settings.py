"""Dask without anybody's settings, for the cluster inside a command."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def dask_as_it_comes() -> Iterator[None]:
    """While the block runs, neither `DASK_…` variables nor Dask's files count: they are made for a cluster of many
    machines, and demand of one inside a process what it cannot do.

    `distributed` is to be imported in the block: some settings are read only then.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("DASK_")}
    try:
        import dask.config
    finally:
        os.environ.update(hidden)
    theirs = copy.deepcopy(dask.config.config)
    dask.config.refresh(paths=[], env={})
    try:
        yield
    finally:
        dask.config.config.clear()
        dask.config.config.update(theirs)
