"""Maximum likelihood on continuations."""

from collections.abc import Sequence

import torch
from torch import nn

from kexue.decoding.corpus import padded
from kexue.decoding.network import Network, device_of


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

    Returns:
        Mean training loss of each epoch, nats per token.

    Source: the set-up of Welleck et al. 2020 (Adam, clip 1, batches of 32), with a linear schedule.
    """
    device = device_of(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    ordered = sorted(sequences, key=len)
    chunks = [padded(ordered[first : first + batch]) for first in range(0, len(ordered), batch)]
    last = rate if final_rate is None else final_rate
    steps, done, losses = max(1, epochs * len(chunks)), 0, []
    model.train()
    for _ in range(epochs):
        total, count = 0.0, 0
        for number in torch.randperm(len(chunks), generator=generator).tolist():
            tokens, lengths = chunks[number]
            mask = torch.arange(context + 1, tokens.shape[1])[None] < lengths[:, None]
            tokens, mask = tokens.to(device), mask.to(device)
            decision, word = model.scores(tokens, start=context)
            weight = int(mask.sum())
            loss = -((decision + word) * mask).sum() / weight
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            for group in optimiser.param_groups:
                group["lr"] = rate + (last - rate) * done / steps
            optimiser.step()
            total, count, done = total + float(loss.detach()) * weight, count + weight, done + 1
        losses.append(total / count)
    model.eval()
    return losses
