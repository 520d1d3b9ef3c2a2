"""NVAE's step: time and memory beside the released code's cells, with mixed precision and recomputation on and off.

    python benchmarks/nvae.py                       # CPU, or the GPU if there is one
    python benchmarks/nvae.py --device cpu --steps 5
    python benchmarks/nvae.py --tiny                # seconds: only to see that it runs
    python benchmarks/nvae.py --record              # and keep the figures for the book's Speed page

Every row is the same network: the same sizes, the same number of parameters up to the weight norm's gains, the same batch and
optimiser. The rows differ in what the paper and the official repository differ in or name as a saving:

* paper      batch norm; relative posterior as it stands;
* released   batch norm on top of weight norm; heads added, clamped and floored (the official code's cell structure, written
             here: its licence allows no copy);
* +recompute BN–Swish keeps its input and computes the rest again;
* +bfloat16  autocast; heads, KL and likelihood in float32.

Memory: on a GPU the peak of the allocator over a step. On a CPU the bytes autograd keeps for the backward pass, each storage
once, weights not counted: exact, and what the peak is made of; the process's peak also counts the allocator's own habits.
Before trusting it: on a CPU bfloat16 is emulated unless the processor has it, so its time says nothing about a GPU.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import torch
from record import add_options, record

from kexue.density.likelihoods import Bernoulli
from kexue.density.nvae.model import NVAE
from kexue.density.nvae.training import PRECISIONS, Trainer
from kexue.press.results.benchmarks import Value


class Row(NamedTuple):
    """One variant: what it is, its size, seconds a step, megabytes."""

    cells: str
    recompute: bool
    precision: str
    parameters: int
    seconds: float
    megabytes: float


STYLES = {"paper": ("batch", "residual"), "released": ("batch+weight", "released")}


def measure(cells: str, recompute: bool, precision: str, options: argparse.Namespace) -> Row:
    """Train a few steps and look."""
    torch.manual_seed(0)
    norm, parameterisation = STYLES[cells]
    model = NVAE(
        (1, 28, 28),
        Bernoulli(),
        groups=options.groups,
        channels=options.channels,
        latent=options.latent,
        reductions=2,
        padding=2,
        recompute=recompute,
        norm=norm,
        parameterisation=parameterisation,
    ).to(options.device)
    images = torch.rand(options.batch, 1, 28, 28, device=options.device)
    trainer = Trainer(model, images, steps=10_000, batch=options.batch, precision=precision)
    trainer.run(2)
    if options.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    trainer.run(2 + options.steps)
    if options.device == "cuda":
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - began) / options.steps
    memory = torch.cuda.max_memory_allocated() if options.device == "cuda" else kept(model, images, precision)
    return Row(cells, recompute, precision, sum(p.numel() for p in model.parameters()), seconds, memory / 1e6)


def kept(model: NVAE, images: torch.Tensor, precision: str) -> int:
    """Bytes autograd keeps for one step, each storage once, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    dtype = PRECISIONS[precision]
    model.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
    ):
        out = model(images.round())
    loss = out.kl.sum() - model.likelihood.log_prob(out.parameters, images.round()).sum()
    size = sum(size for size, _ in storages.values())
    del loss
    return size


def main() -> None:
    """Measure all variants, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_options(parser)
    parser.add_argument("--groups", type=int, nargs="+", default=None)
    parser.add_argument("--channels", type=int, default=None)
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--steps", type=int, default=None)
    options = parser.parse_args()
    large = options.device == "cuda"
    options.groups = options.groups or ([5, 10] if large else [1, 2])
    options.channels = options.channels or (32 if large else 8)
    options.batch = options.batch or (200 if large else 16)
    options.steps = options.steps or (20 if large else 4)
    if options.tiny:
        options.groups, options.channels, options.latent, options.batch, options.steps = [1], 2, 2, 2, 1
    if not large:
        torch.set_num_threads(1)
    print(
        f"{options.device}, groups {options.groups}, {options.channels} channels, {options.latent} latents a group, "
        f"batch {options.batch}, {options.steps} steps"
    )
    print(
        f"{'cells':10}{'recompute':>10}{'precision':>10}{'parameters':>12}{'s/step':>9}{'images/s':>10}{'MB':>9}"
    )
    rows: list[dict[str, Value]] = []
    for cells in STYLES:
        for recompute in (False, True):
            for precision in PRECISIONS:
                row = measure(cells, recompute, precision, options)
                print(
                    f"{row.cells:10}{'yes' if row.recompute else 'no':>10}{row.precision:>10}{row.parameters:>12,}"
                    f"{row.seconds:>9.3f}{options.batch / row.seconds:>10.0f}{row.megabytes:>9.1f}",
                    flush=True,
                )
                rows.append(
                    {
                        "cells": row.cells,
                        "recompute": row.recompute,
                        "precision": row.precision,
                        "device": options.device,
                        "batch": options.batch,
                        "parameters": row.parameters,
                        "s a step": round(row.seconds, 4),
                        "MB": round(row.megabytes, 1),
                    }
                )
    if options.record:
        print(f"recorded in {record('nvae', rows)}")


if __name__ == "__main__":
    main()
