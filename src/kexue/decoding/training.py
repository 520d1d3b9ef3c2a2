"""Maximum likelihood on continuations; can be interrupted and gone on with, on a CPU bit for bit the same."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from kexue.checkpoint import Checkpoint, Stateful
from kexue.decoding.corpus import padded
from kexue.decoding.network import Network, device_of
from kexue.progress import progress


def fit(
    model: Network,
    sequences: Sequence[Sequence[int]],
    *,
    context: int,
    epochs: int,
    rate: float,
    generator: torch.Generator,
    batch: int = 32,
    clip: float = 1.0,
    final_rate: float | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[float]:
    """Minimise the mean negative log-likelihood of everything behind the context.

    Adam with clipped gradients; the learning rate goes down a straight line from ``rate`` to ``final_rate``. Batches
    hold sequences of similar length and come in random order.

    Args:
        model: the language model.
        sequences: encoded texts, ``<bos>`` first and ``<eos>`` last.
        context: words of context, not trained on.
        epochs: passes over the data; 0 leaves the model as it is.
        rate: first learning rate.
        generator: decides the order of the batches.
        batch: sequences a step.
        clip: largest norm of the gradient.
        final_rate: last learning rate; ``rate`` by default.
        checkpoint: where the training is kept and for how long it may go on; one that is finished there is only read.
            Dropout draws from PyTorch's own source of random numbers, which is kept as well.

    Returns:
        Mean training loss of each epoch, nats per token.

    Raises:
        Paused: when the checkpoint's time is up before the last step.

    Source: the set-up of Welleck et al. 2020 (Adam, clip 1, batches of 32), with a linear schedule.
    """
    device = device_of(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    ordered = sorted(sequences, key=len)
    chunks = [padded(ordered[first : first + batch]) for first in range(0, len(ordered), batch)]
    last = rate if final_rate is None else final_rate
    epoch, steps = _Epoch(device), epochs * len(chunks)
    parts: dict[str, Stateful] = {"model": model, "optimiser": optimiser, "epoch": epoch}
    first, losses = (0, []) if checkpoint is None else checkpoint.restore(parts, generator)
    model.train()
    for done in progress(range(first, steps), "language model"):
        if checkpoint is not None:
            checkpoint.keep(done, steps, parts, generator, losses)
        place = done % len(chunks)
        if place == 0:
            epoch.begin(torch.randperm(len(chunks), generator=generator).tolist())
        tokens, lengths = chunks[epoch.order[place]]
        mask = torch.arange(context + 1, tokens.shape[1])[None] < lengths[:, None]
        tokens, mask = tokens.to(device), mask.to(device)
        decision, word = model.scores(tokens, start=context)
        weight = int(mask.sum())
        loss = -((decision + word) * mask).sum() / weight
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        for group in optimiser.param_groups:
            group["lr"] = rate + (last - rate) * done / steps
        optimiser.step()
        epoch.total, epoch.count = epoch.total + float(loss.detach()) * weight, epoch.count + weight
        if place == len(chunks) - 1:
            losses.append(epoch.total / epoch.count)
    if checkpoint is not None and first < steps:
        checkpoint.save(steps, parts, generator, losses)
    model.eval()
    return losses


class _Epoch:
    """What else the next step depends on: the order of the batches, the loss so far, and where dropout draws from."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.begin([])

    def begin(self, order: list[int]) -> None:
        self.order, self.total, self.count = order, 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        cuda = self.device.type == "cuda"
        noise = torch.cuda.get_rng_state(self.device) if cuda else torch.get_rng_state()
        return {"order": self.order, "total": self.total, "count": self.count, "noise": noise}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.total, self.count = state["order"], state["total"], state["count"]
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["noise"], self.device)
        else:
            torch.set_rng_state(state["noise"])
