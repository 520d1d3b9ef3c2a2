"""The training loops: critics alone between fixed distributions, critics against generators, generators without critic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kexue.checkpoint import Checkpoint, Stateful
from kexue.checks import returned
from kexue.progress import progress
from kexue.transport.rules import Rules
from kexue.transport.stack import StackedCritic

BETAS = (0.0, 0.9)
LEARNING_RATE = 5e-4


Draw: TypeAlias = Callable[[int], Tensor]
"""Draws n points for each of the K models, shape (K or 1, n, d); 1 means all see the same."""


def train_critics(
    critic: nn.Module,
    rules: Rules,
    draw_real: Draw,
    draw_fake: Draw,
    *,
    steps: int,
    generator: torch.Generator,
    batch: int = 64,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Train K critics, in place, between distributions that stay as they are.

    Args:
        critic: maps (K, n, d) to (K, n).
        rules: one a critic.
        draw_real: real points.
        draw_fake: fake points.
        steps: ≥ 0.
        generator: draws the places of the penalties.
        batch: points a step from each side.
        learning_rate: of Adam, β = (0, 0.9).

    Raises:
        ValueError: for steps < 0 or a batch below 1; when a function given returns another shape than it should.
    """
    _sizes(steps, batch)
    optimiser = _adam(critic, learning_rate)
    for _ in progress(range(steps), "critics"):
        _critic_step(
            critic,
            rules,
            optimiser,
            _drawn("draw_real", draw_real, batch, len(rules)),
            _drawn("draw_fake", draw_fake, batch, len(rules)),
            generator,
        )


def train_gans(
    producer: nn.Module,
    critic: nn.Module,
    rules: Rules,
    draw_real: Draw,
    draw_latent: Draw,
    *,
    steps: int,
    generator: torch.Generator,
    critic_steps: int = 5,
    batch: int = 64,
    learning_rate: float = LEARNING_RATE,
    watch: Callable[[int], Any] | None = None,
    every: int = 100,
    checkpoint: Checkpoint | None = None,
) -> list[Any]:
    """Train K generators against K critics, in place and alternating, as the min-max is always trained.

    All see the same real batches and latents, so that what differs between rows is their rule. With a checkpoint,
    training that was interrupted goes on where it stopped, on a CPU bit for bit as if it had not been.

    Args:
        producer: the generators, (K, n, latent) → (K, n, d).
        critic: the critics, (K, n, d) → (K, n).
        rules: one a critic.
        draw_real: real points.
        draw_latent: latent points.
        steps: generator steps, ≥ 0.
        generator: draws the places of the penalties; with a checkpoint, the data and latents must come from it, too.
        critic_steps: critic steps a generator step, ≥ 1.
        batch: points a step from each side.
        learning_rate: of both Adams, β = (0, 0.9).
        watch: called with the number of steps done, before the first, every `every` steps and after the last.
        every: see `watch`.
        checkpoint: where to keep the state of the training, and for how long to go on; None: train to the end.

    Returns:
        What `watch` returned, in order; with a checkpoint, plain numbers, tensors, tuples and lists of them.

    Raises:
        ValueError: for steps < 0, a batch, `every` or critic_steps below 1; when a function given returns another shape
            than it should.
        Paused: when the checkpoint's time is up before the last step.
    """
    _sizes(steps, batch, critic_steps=critic_steps, every=every)
    of_critic, of_producer = _adam(critic, learning_rate), _adam(producer, learning_rate)
    parts: dict[str, Stateful] = {
        "producer": producer,
        "critic": critic,
        "of_producer": of_producer,
        "of_critic": of_critic,
    }
    done, seen = (0, []) if checkpoint is None else checkpoint.restore(parts, generator)
    for step in progress(range(done, steps), "GANs"):
        if checkpoint is not None:
            checkpoint.keep(step, steps, parts, generator, seen)
        if watch is not None and step % every == 0:
            seen.append(watch(step))
        for _ in range(critic_steps):
            with torch.no_grad():
                fake = _made(producer, _drawn("draw_latent", draw_latent, batch, len(rules)))
            real = _drawn("draw_real", draw_real, batch, len(rules))
            _critic_step(critic, rules, of_critic, real, fake, generator)
        critic.requires_grad_(False)
        fake = _made(producer, _drawn("draw_latent", draw_latent, batch, len(rules)))
        real = _drawn("draw_real", draw_real, batch, len(rules))
        loss = rules.generator_loss(critic, real, fake)
        _step(of_producer, loss)
        critic.requires_grad_(True)
    if checkpoint is not None and done < steps:
        checkpoint.save(steps, parts, generator, seen)
    if watch is not None:
        seen.append(watch(steps))
    return seen


def train_without_critic(
    producer: nn.Module,
    loss: Callable[[Float[Tensor, "k n d"], Float[Tensor, "k n d"]], Float[Tensor, " k"]],
    draw_real: Draw,
    draw_latent: Draw,
    *,
    steps: int,
    models: int = 1,
    batch: int = 64,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Train K generators, in place, on a loss between a real and a fake batch.

    Args:
        producer: the generators, (K, n, latent) → (K, n, d).
        loss: of real and fake batches, a number a model.
        draw_real: real points.
        draw_latent: latent points.
        steps: ≥ 0.
        models: K.
        batch: points a step from each side.
        learning_rate: of Adam, β = (0, 0.9).

    Raises:
        ValueError: for steps < 0 or a batch below 1; when a function given returns another shape than it should.
    """
    _sizes(steps, batch)
    optimiser = _adam(producer, learning_rate)
    for _ in progress(range(steps), "generators"):
        real = _drawn("draw_real", draw_real, batch, models)
        latent = _drawn("draw_latent", draw_latent, batch, models)
        fake = returned("producer", producer(latent), real.shape, latent.shape)
        _step(optimiser, returned("loss", loss(real, fake), (models,), real.shape))


def _critic_step(
    critic: nn.Module,
    rules: Rules,
    optimiser: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator,
) -> None:
    if isinstance(critic, StackedCritic):
        critic.follow_spectrum()
    _step(optimiser, rules.critic_loss(critic, real, fake, generator=generator))
    rules.clip_(critic)


def _step(optimiser: torch.optim.Optimizer, loss: Float[Tensor, " k"]) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _drawn(name: str, draw: Draw, batch: int, models: int) -> Float[Tensor, "models batch d"]:
    """Points for each model; those that all share are the same numbers, held once."""
    points = draw(batch)
    shared = isinstance(points, Tensor) and points.ndim == 3 and len(points) == 1
    checked = returned(name, points, (1 if shared else models, batch, "d"), (batch,))
    return checked.expand(models, *checked.shape[1:])


def _made(producer: nn.Module, latent: Float[Tensor, "k n latent"]) -> Float[Tensor, "k n d"]:
    return returned("producer", producer(latent), (*latent.shape[:2], "d"), latent.shape)


def _adam(network: nn.Module, learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=BETAS, fused=True)


def _sizes(steps: int, batch: int, **others: int) -> None:
    if steps < 0:
        raise ValueError(f"steps must be ≥ 0, got {steps}")
    for name, value in (("batch", batch), *others.items()):
        if value < 1:
            raise ValueError(f"{name} must be ≥ 1, got {value}")
