"""Fitting a VAE by any of the objectives, with fresh binarisation, and a stop at the first number that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from kexue.checks import returned
from kexue.density import _checks
from kexue.density.gradients import Objective
from kexue.density.vae import VAE
from kexue.progress import progress

Draw = Callable[[Tensor, torch.Generator], Tensor]


class TrainingDiverged(RuntimeError):
    """The objective or its gradient became NaN or infinite; `step` says where, `value` what it was.

    Args:
        step: the step at which it was seen, from 0.
        value: the value seen.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(
            f"the objective became {value} at step {step}; the parameters are those before that step"
        )
        self.step = step
        self.value = value


def binarise(
    intensities: Float[Tensor, "batch data"], generator: torch.Generator
) -> Float[Tensor, "batch data"]:
    """x_j ~ Bernoulli(intensity_j), drawn anew at each call: dynamic binarisation.

    Args:
        intensities: in [0, 1].
        generator: source of randomness.
    """
    return torch.bernoulli(intensities, generator=generator)


def dequantise(
    levels: Float[Tensor, "batch data"], generator: torch.Generator
) -> Float[Tensor, "batch data"]:
    """x + u, u ~ U[0, 1): E log p(x + u) ≤ log P(x), the probability of the level (Jensen).

    Args:
        levels: integers.
        generator: source of randomness.
    """
    return levels + torch.rand(levels.shape, generator=generator, dtype=levels.dtype, device=levels.device)


def as_it_is(data: Float[Tensor, "batch data"], generator: torch.Generator) -> Float[Tensor, "batch data"]:
    """The data, nothing drawn."""
    return data


def _batches(count: int, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """`steps` batches of row numbers, each row once an epoch, in a new order every epoch."""
    order = torch.empty(0, dtype=torch.int64, device=generator.device)
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(count, generator=generator, device=generator.device)])
        yield order[:size]
        order = order[size:]


def train(
    model: VAE,
    data: Float[Tensor, "examples data"],
    objective: Objective,
    samples: int,
    *,
    steps: int,
    batch: int,
    draw: Draw,
    generator: torch.Generator,
    learning_rate: float = 2e-3,
    checkpoints: int = 1,
) -> Iterator[int]:
    """Adam on the mean objective, the rate falling to zero along a cosine; the model is changed in place.

    Args:
        model: the VAE.
        data: intensities, levels or values, from which `draw` makes x.
        objective: one of `gradients`, called with log_joint, proposal, samples and the generator.
        samples: K of the objective ≥ 1.
        steps: number of steps ≥ 1.
        batch: examples a step, 1 to all of them.
        draw: makes x from rows of the data: `binarise`, `dequantise`, `as_it_is`.
        generator: source of randomness, on the data's device.
        learning_rate: of the first step.
        checkpoints: how many times to yield, evenly spaced, the last after the last step.

    Yields:
        The number of steps done, `checkpoints` times; between them the caller may evaluate the model.

    Raises:
        ValueError: for sizes out of range; when `draw` or `objective` returns another shape than it should.
        TrainingDiverged: at the first step whose objective or gradient is NaN or infinite.
    """
    _checks.count("steps", steps)
    if _checks.count("batch", batch) > len(data):
        raise ValueError(f"batch must be at most the {len(data)} examples, got {batch}")
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    stops = {round(steps * (i + 1) / _checks.count("checkpoints", checkpoints)) for i in range(checkpoints)}
    batches = _batches(len(data), batch, steps, generator)
    for step, rows in zip(progress(range(steps), "VAE"), batches, strict=False):
        x = returned("draw", draw(data[rows], generator), (batch, *data.shape[1:]), (batch, *data.shape[1:]))
        optimiser.zero_grad()
        bounds = objective(model.log_joint(x), model.encode(x), samples, generator=generator)
        value = returned("objective", bounds, (batch,), x.shape).mean()
        (-value).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not bool(torch.isfinite(value.detach() + norm)):
            raise TrainingDiverged(step, float(value.detach() + norm))
        optimiser.step()
        cosine.step()
        if step + 1 in stops:
            yield step + 1


def fit(
    model: VAE, data: Float[Tensor, "examples data"], objective: Objective, samples: int, **options: object
) -> VAE:
    """`train` to its end, without looking in between; arguments as there."""
    for _ in train(model, data, objective, samples, **options):  # type: ignore[arg-type]
        pass
    return model
