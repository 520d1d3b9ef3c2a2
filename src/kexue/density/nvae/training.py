"""Training that can be stopped at any step and gone on with, bit for bit the same on a CPU.

Loss = E[−log p(x|z)] + β Σ_l γ_l KL_l + λ Σ_i s_i + λ' Σ max |γ_BN|, Adamax, one step at a time; the paper has λ' = λ.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kexue import checkpoint
from kexue.density.nvae.model import NVAE
from kexue.density.nvae.schedule import balance, learning_rate, size_weights, warm_up
from kexue.density.nvae.spectral import SpectralPenalty, norm_penalty
from kexue.progress import progress

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


class Diverged(ArithmeticError):
    """The loss or a gradient is no longer finite.

    Args:
        step: at which, counted from 0.
        what: the quantity.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: {what} is not finite; training stops here, nothing is averaged away")
        self.step = step


class Trainer:
    """Fits an NVAE to images.

    Args:
        model: the model; its device is where the work is done.
        images: in [0, 1], on the model's device. Binary likelihoods draw zeros and ones from them anew at every step.
        steps: of the whole training.
        batch: images a step.
        peak: largest learning rate.
        floor: last learning rate.
        rise: steps until the peak.
        portion: of training until β = 1, see `warm_up`.
        every: steps for which β stays as it is: 1 moves it each step, the number of steps of an epoch each epoch.
        balanced: weigh the groups' KLs by `balance` during the warm-up, that is while β moved each step would be below 1:
            `every` does not lengthen it.
        penalty: λ, of the convolutions' largest singular values.
        scale_penalty: λ', of batch norm's largest scales.
        precision: "float32" or "bfloat16" (autocast; heads, KL and likelihood stay in float32).
        seed: of the order of the images, the binarisation and the latents.

    Raises:
        ValueError: for an unknown precision, or a batch larger than the data.

    Source: arXiv 2007.03898, section 3 and appendix A.
    """

    def __init__(
        self,
        model: NVAE,
        images: Float[Tensor, "images channels high wide"],
        *,
        steps: int,
        batch: int,
        peak: float = 1e-2,
        floor: float = 1e-4,
        rise: int = 20,
        portion: float = 0.3,
        every: int = 1,
        balanced: bool = True,
        penalty: float = 1e-2,
        scale_penalty: float = 1e-2,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
        if not 1 <= batch <= len(images):
            raise ValueError(f"batch must be between 1 and the number of images {len(images)}, got {batch}")
        self.model, self.images, self.steps, self.batch = model, images, steps, batch
        self.peak, self.floor, self.rise = peak, floor, rise
        self.penalty, self.scale_penalty = penalty, scale_penalty
        self.portion, self.every, self.balanced, self.precision = portion, every, balanced, precision
        self.alpha = size_weights(model.groups)
        self.generator = torch.Generator(device=images.device).manual_seed(seed)
        self.optimiser = torch.optim.Adamax(
            model.parameters(), lr=peak, eps=1e-3, weight_decay=3e-4, foreach=True
        )
        self.spectral = SpectralPenalty(model, generator=self.generator)
        self.step = 0
        self.order = torch.zeros(0, dtype=torch.long, device=images.device)
        self.history: list[
            list[float]
        ] = []  # a row a step: −log p(x|z), then the KL of each group, nats an image

    def _next(self) -> Tensor:
        """The next batch; the last, incomplete one of an epoch is dropped."""
        if len(self.order) < self.batch:
            self.order = torch.randperm(
                len(self.images), generator=self.generator, device=self.generator.device
            )
        chosen, self.order = self.order[: self.batch], self.order[self.batch :]
        x = self.images[chosen]
        return torch.bernoulli(x, generator=self.generator) if self.model.likelihood.levels == 2 else x

    def _one(self) -> None:
        x = self._next()
        dtype = PRECISIONS[self.precision]
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.steps, self.peak, self.floor, self.rise)
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype is not None):
            out = self.model(x, generator=self.generator)
        distortion = -self.model.log_likelihood(out.parameters, x).mean()
        kl = out.kl.mean(0)
        beta = warm_up(self.step - self.step % self.every, self.steps, self.portion)
        warming = warm_up(self.step, self.steps, self.portion) < 1
        gamma = balance(out.kl, self.alpha) if self.balanced and warming else torch.ones_like(kl)
        loss = distortion + beta * (gamma * kl).sum()
        if self.penalty:
            loss = loss + self.penalty * self.spectral()
        if self.scale_penalty:
            loss = loss + self.scale_penalty * norm_penalty(self.model).to(loss.device)
        if not torch.isfinite(loss):
            raise Diverged(self.step, "the loss")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        sizes = torch._foreach_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if not torch.isfinite(torch.stack(list(sizes)).sum()):
            raise Diverged(self.step, "a gradient")
        self.optimiser.step()
        self.history.append(torch.cat([distortion.detach()[None], kl.detach()]).tolist())
        self.step += 1

    def run(self, until: int | None = None) -> NVAE:
        """Train up to a step and leave the model in evaluation mode.

        Args:
            until: the step to stop before; the end by default.

        Returns:
            The model.

        Raises:
            Diverged: with the step, at the first loss or gradient that is not finite.
        """
        self.model.train()
        for _ in progress(range(self.step, self.steps if until is None else min(until, self.steps)), "NVAE"):
            self._one()
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Write everything the next step depends on, whole or not at all.

        Args:
            path: the file.
        """
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "spectral": self.spectral.state_dict(),
            "generator": self.generator.get_state(),
            "order": self.order,
            "step": self.step,
            "history": self.history,
        }
        checkpoint.write(state, path)

    def load(self, path: Path) -> None:
        """Go on from a file of `save`, with the same model, data and settings.

        Args:
            path: the file.
        """
        state = torch.load(path, map_location=self.images.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.spectral.load_state_dict(state["spectral"])
        self.generator.set_state(state["generator"].cpu())
        self.order, self.step = state["order"], int(state["step"])
        self.history = [list(row) for row in state["history"]]

    def resume(self, path: Path, *, seconds: float, every: int = 500) -> NVAE:
        """Train to the end in as many calls as it takes, each going on where the last one stopped.

        Args:
            path: the checkpoint, read if it exists, written every so often and when the time is up.
            seconds: of this call.
            every: steps between two checkpoints.

        Returns:
            The model, trained to the end.

        Raises:
            Paused: when the time is up first.
            Diverged: see `run`.
        """
        if path.exists():
            self.load(path)
        began = time.monotonic()
        while self.step < self.steps:
            if time.monotonic() - began >= seconds:
                raise checkpoint.Paused(self.step, self.steps, path)
            self.run(self.step + every)
            self.save(path)
        return self.model.eval()
