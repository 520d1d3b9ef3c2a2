"""Small VAEs: a multilayer encoder and decoder, and a likelihood of the data given the decoder's output."""

from __future__ import annotations

import itertools
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kexue.checks import returned
from kexue.density import _checks
from kexue.density.proposals import GaussianProposal, LogJoint, log_normal_density


@runtime_checkable
class Likelihood(Protocol):
    """log p(x | output of the decoder); `outputs` numbers an entry of x."""

    outputs: int

    def __call__(
        self, x: Float[Tensor, "batch data"], output: Float[Tensor, "... width"]
    ) -> Float[Tensor, " ..."]:
        """Log-likelihoods, in nats."""
        ...


class Bernoulli:
    """x in {0, 1}, the output its log-odds: log p = x·l − log(1 + e^l), summed."""

    outputs = 1

    def __call__(
        self, x: Float[Tensor, "batch data"], output: Float[Tensor, "... width"]
    ) -> Float[Tensor, " ..."]:
        """Log-likelihoods, in nats. A dot product and one softplus: nothing of the size of the output is copied."""
        return torch.einsum("bd,...bd->...b", x, output) - nn.functional.softplus(output).sum(-1)


class Gaussian:
    """x real, the output its means and log-deviations: a density, not a probability."""

    outputs = 2

    def __call__(
        self, x: Float[Tensor, "batch data"], output: Float[Tensor, "... width"]
    ) -> Float[Tensor, " ..."]:
        """Log-densities, in nats."""
        mean, log_scale = output.chunk(2, -1)
        return log_normal_density(x, mean, log_scale)


class VAE(nn.Module):
    """z ~ N(0, I_d), x | z by a decoder with tanh layers; q(z|x) diagonal Gaussian by an encoder of the same widths.

    Args:
        data: D, the entries of x.
        hidden: widths of the hidden layers, from data to latent; the decoder mirrors them.
        latent: d.
        likelihood: of x given the decoder's output.
        generator: source of the first weights (Glorot's uniform law, zero biases); its device is the model's.

    Raises:
        ValueError: for sizes below 1.
    """

    def __init__(
        self,
        data: int,
        hidden: tuple[int, ...],
        latent: int,
        likelihood: Likelihood,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        for name, size in (("data", data), ("latent", latent), *(("hidden", width) for width in hidden)):
            _checks.count(name, size)
        self.likelihood = likelihood
        self.encoder = _perceptron((data, *hidden, 2 * latent), generator)
        self.decoder = _perceptron((latent, *reversed(hidden), likelihood.outputs * data), generator)

    def encode(self, x: Float[Tensor, "batch data"]) -> GaussianProposal:
        """q(z|x)."""
        mean, log_scale = self.encoder(x).chunk(2, -1)
        return GaussianProposal(mean, log_scale)

    def log_likelihood(self, x: Float[Tensor, "batch data"]) -> LogJoint:
        """z, shape (samples, batch, d) → log p(x|z), shape (samples, batch), in nats."""

        def log_likelihood(z: Tensor) -> Tensor:
            found = self.likelihood(x, self.decoder(z))
            return returned("likelihood", found, (*z.shape[:-2], len(x)), z.shape)

        return log_likelihood

    def log_joint(self, x: Float[Tensor, "batch data"]) -> LogJoint:
        """z, shape (samples, batch, d) → log p(x, z), shape (samples, batch), in nats."""

        log_likelihood = self.log_likelihood(x)

        def log_joint(z: Tensor) -> Tensor:
            zero = torch.zeros_like(z[:1])
            return log_likelihood(z) + log_normal_density(z, zero, zero)

        return log_joint


def _perceptron(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        linear = nn.Linear(inputs, outputs, device=generator.device)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear] if i == len(widths) - 2 else [linear, nn.Tanh()]
    return nn.Sequential(*layers)


def active_units(means: Float[Tensor, "batch d"], *, threshold: float = 0.01) -> int:
    """How many latent numbers have Var_x E_q[z_j|x] above the threshold.

    Args:
        means: E_q[z|x], one row an example, at least 2.
        threshold: in units of the prior's variance.

    Source: Burda et al. 2016, section 5.2, threshold included.
    """
    return int((means.var(0) > threshold).sum())
