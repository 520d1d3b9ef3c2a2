"""What a critic is trained for and what holds it back: the rules of the common GANs, many side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from kexue.transport.stack import input_gradient, values

OBJECTIVES = ("wasserstein", "c-transform", "soft c-transform", "non-saturating", "hinge", "least squares")


@dataclass(frozen=True)
class Rule:
    """How one critic is trained.

    Args:
        objective: what it maximises, one of `OBJECTIVES`.
        clip: every weight and bias is clamped to [−clip, clip] after each step; None: not.
        spectral: whether its layers are divided by their spectral norms.
        weight: λ ≥ 0 of the penalty λ E (‖∇f‖ − centre)².
        centre: the centre of the penalty, 1 or 0.
        one_sided: only slopes above the centre are penalised.
        at_real: the penalty is taken at real points (R1) instead of between real and fake ones.
        epsilon: ε > 0 of the soft c-transform.

    Raises:
        ValueError: for an unknown objective, or a negative weight, clip or ε.
    """

    objective: str = "wasserstein"
    clip: float | None = None
    spectral: bool = False
    weight: float = 0.0
    centre: float = 1.0
    one_sided: bool = False
    at_real: bool = False
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}; got {self.objective!r}")
        for name, value in (("weight", self.weight), ("clip", self.clip or 0.0)):
            if not value >= 0:
                raise ValueError(f"{name} must be ≥ 0, got {value!r}")
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be > 0, got {self.epsilon!r}")


def weight_clipping(clip: float = 0.01) -> Rule:
    """The first WGAN: every weight in [−clip, clip]. Source: Arjovsky et al. 2017."""
    return Rule(clip=clip)


def gradient_penalty(weight: float = 10.0, objective: str = "wasserstein") -> Rule:
    """WGAN-GP: λ E(‖∇f‖ − 1)² between real and fake. Source: Gulrajani et al. 2017, eq. 3."""
    return Rule(objective, weight=weight)


def one_sided_penalty(weight: float = 10.0) -> Rule:
    """WGAN-LP: λ E max(0, ‖∇f‖ − 1)². Source: Petzka et al. 2018."""
    return Rule(weight=weight, one_sided=True)


def zero_centred_penalty(weight: float = 1.0, objective: str = "wasserstein") -> Rule:
    """λ E‖∇f‖² between real and fake. Source: kexue.fm/archives/6583."""
    return Rule(objective, weight=weight, centre=0.0)


def r1_penalty(gamma: float = 10.0, objective: str = "wasserstein") -> Rule:
    """R1: (γ/2) E‖∇f‖² at real points. Source: Mescheder et al. 2018, eq. 9."""
    return Rule(objective, weight=gamma / 2, centre=0.0, at_real=True)


def spectral_norm(objective: str = "wasserstein") -> Rule:
    """Every layer of operator norm 1. Source: Miyato et al. 2018."""
    return Rule(objective, spectral=True)


def c_transform() -> Rule:
    """(c)-WGAN: the batch semi-dual. Source: Mallasto et al. 2019."""
    return Rule("c-transform")


def soft_c_transform(epsilon: float = 1.0) -> Rule:
    """The batch semi-dual with a soft minimum, without self-terms.

    Source: the transform of Mallasto et al. 2019; their (c, ε)-WGAN puts it into the Sinkhorn divergence, which this is not.
    """
    return Rule("soft c-transform", epsilon=epsilon)


class Rules:
    """The rules of K critics trained together, row by row.

    Args:
        rules: one a critic, at least one.
        device: where the critics live.
    """

    def __init__(self, rules: Sequence[Rule], device: str | torch.device = "cpu") -> None:
        if not rules:
            raise ValueError("rules must hold at least one rule, got none")
        self.rules = tuple(rules)
        self.device = torch.device(device)
        self.spectral = torch.tensor([rule.spectral for rule in rules])
        self._of = {
            objective: self._rows([rule.objective == objective for rule in rules]) for objective in OBJECTIVES
        }
        self._penalised = self._rows([rule.weight > 0 for rule in rules])
        held = [rules[k] for k in self._penalised.tolist()]
        self._weight, self._centre = (
            torch.tensor([getattr(rule, name) for rule in held], device=self.device)
            for name in ("weight", "centre")
        )
        self._one_sided, self._at_real = (
            torch.tensor([getattr(rule, name) for rule in held], dtype=torch.bool, device=self.device)
            for name in ("one_sided", "at_real")
        )
        self._epsilon = torch.tensor([rule.epsilon for rule in rules], device=self.device)

    def _rows(self, chosen: Sequence[bool]) -> Int64[Tensor, " rows"]:
        return torch.tensor(chosen).nonzero()[:, 0].to(self.device)

    def __len__(self) -> int:
        return len(self.rules)

    def estimate(
        self, critic: nn.Module, real: Float[Tensor, "k n d"], fake: Float[Tensor, "k m d"]
    ) -> Float[Tensor, " k"]:
        """What each critic reports as its distance: its own dual value for c-transforms, E f − E f for the others.

        The c-transform critic is no Lipschitz function: the difference of its means says nothing.
        """
        on_real, on_fake = values(critic, real), values(critic, fake)
        return self._with_semiduals(on_real.mean(1) - on_fake.mean(1), on_real, real, fake)

    def critic_loss(
        self,
        critic: nn.Module,
        real: Float[Tensor, "k n d"],
        fake: Float[Tensor, "k n d"],
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, " k"]:
        """What each critic minimises, its penalty included.

        Args:
            critic: K critics, (k, n, d) → (k, n), each value of its own point only (so no batch norm).
            real: real batches.
            fake: fake batches of the same size.
            generator: draws the places of the penalties.

        Raises:
            ValueError: when the critic returns another shape.
        """
        both = values(critic, torch.cat((real, fake), 1))
        on_real, on_fake = torch.split(both, [real.shape[1], fake.shape[1]], 1)
        loss = on_fake.mean(1) - on_real.mean(1)  # Wasserstein; the rows of other objectives are overwritten
        loss = -self._with_semiduals(-loss, on_real, real, fake)
        for objective, (at_real, at_fake) in _CLASSIFIERS.items():
            if len(rows := self._of[objective]):
                loss = loss.index_copy(
                    0, rows, at_real(on_real[rows]).mean(1) + at_fake(on_fake[rows]).mean(1)
                )
        if len(self._penalised):
            loss = loss.index_add(0, self._penalised, self._penalty(critic, real, fake, generator))
        return loss

    def generator_loss(
        self, critic: nn.Module, real: Float[Tensor, "k n d"], fake: Float[Tensor, "k m d"]
    ) -> Float[Tensor, " k"]:
        """What each generator minimises: the part of its critic's objective that depends on the fake points."""
        on_fake = values(critic, fake)
        loss: Tensor = -on_fake.mean(1)  # Wasserstein and hinge
        if len(rows := self._of["non-saturating"]):
            loss = loss.index_copy(0, rows, softplus(-on_fake[rows]).mean(1))
        if len(rows := self._of["least squares"]):
            loss = loss.index_copy(0, rows, (on_fake[rows] - 1).square().mean(1))
        if len(self._of["c-transform"]) or len(self._of["soft c-transform"]):
            loss = self._with_semiduals(loss, values(critic, real).detach(), real, fake)
        return loss

    @torch.no_grad()
    def clip_(self, critic: nn.Module) -> None:
        """Clamp the weights of those critics whose rule says so."""
        for row, rule in enumerate(self.rules):
            if rule.clip is not None:
                for parameter in critic.parameters():
                    chosen = parameter[row] if len(self) > 1 else parameter
                    chosen.clamp_(-rule.clip, rule.clip)

    def _with_semiduals(
        self, reports: Tensor, on_real: Tensor, real: Tensor, fake: Tensor
    ) -> Float[Tensor, " k"]:
        if len(rows := self._of["c-transform"]):
            f = on_real[rows]
            reports = reports.index_copy(0, rows, semidual(f, real[rows], fake[rows]))
        if len(rows := self._of["soft c-transform"]):
            f = on_real[rows]
            soft = soft_semidual(f, real[rows], fake[rows], self._epsilon[rows])
            reports = reports.index_copy(0, rows, soft)
        return reports

    def _penalty(
        self, critic: nn.Module, real: Tensor, fake: Tensor, generator: torch.Generator
    ) -> Float[Tensor, " penalised"]:
        rows = self._penalised
        share = torch.rand(len(rows), real.shape[1], 1, generator=generator, device=generator.device)
        share = torch.where(self._at_real[:, None, None], 1.0, share)
        points = (share * real[rows] + (1 - share) * fake[rows]).detach()
        slope = input_gradient(critic, points, rows).norm(dim=2)
        excess = slope - self._centre[:, None]
        excess = torch.where(self._one_sided[:, None], relu(excess), excess)
        return self._weight * excess.square().mean(1)


_CLASSIFIERS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "non-saturating": (lambda f: softplus(-f), softplus),
    "hinge": (lambda f: relu(1 - f), lambda f: relu(1 + f)),
    "least squares": (lambda f: (f - 1).square(), torch.square),
}


def penalised_value(distance: float, weight: float = 10.0) -> float:
    """What a WGAN-GP critic reports for a translation by w: w(1 + w/(2λ)), at the slope s = 1 + w/(2λ).

    A critic of slope s along the translation earns ws − λ(s − 1)², most at that s.

    Args:
        distance: w ≥ 0.
        weight: λ > 0.

    Raises:
        ValueError: for a negative distance or λ ≤ 0.
    """
    if not distance >= 0 or not weight > 0:
        raise ValueError(f"distance must be ≥ 0 and weight > 0, got {distance!r} and {weight!r}")
    return distance * (1 + distance / (2 * weight))


def semidual(
    f: Float[Tensor, "k n"], real: Float[Tensor, "k n d"], fake: Float[Tensor, "k m d"]
) -> Float[Tensor, " k"]:
    """mean f(x_i) + mean_j min_i (‖x_i − y_j‖ − f(x_i)), batch by batch; never above the exact W1 of the batch.

    Args:
        f: values on the real points.
        real: x, shape (k, n, d).
        fake: y, shape (k, m, d).

    Source: Mallasto et al. 2019, arXiv 1910.03875.
    """
    with torch.no_grad():
        nearest = (_distances(real, fake) - f[:, :, None]).argmin(1)
    there = real.gather(1, nearest[..., None].expand(-1, -1, real.shape[2]))
    moved = (fake - there).norm(dim=2) - f.gather(1, nearest)
    value: Tensor = f.mean(1) + moved.mean(1)
    return value


def soft_semidual(
    f: Float[Tensor, "k n"],
    real: Float[Tensor, "k n d"],
    fake: Float[Tensor, "k m d"],
    epsilon: Float[Tensor, " k"],
) -> Float[Tensor, " k"]:
    """mean f(x_i) − ε mean_j log (1/n) Σ_i exp(−(‖x_i − y_j‖ − f(x_i))/ε), batch by batch.

    Args:
        f: values on the real points.
        real: x, shape (k, n, d).
        fake: y, shape (k, m, d).
        epsilon: ε > 0 of each row.

    Source: Mallasto et al. 2019, without the self-terms of their loss; note the sign inside the exponential.
    """
    scale = epsilon[:, None, None]
    excess = (_distances(real, fake) - f[:, :, None]) / scale
    mean = torch.logsumexp(-excess, dim=1) - math.log(f.shape[1])
    return f.mean(1) - epsilon * mean.mean(1)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    # the exact mode: the matrix-product route cancels near zero and has infinite gradients at ties
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
