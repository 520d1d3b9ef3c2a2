"""Bits-back coding: a file as long as the evidence lower bound says, that decodes to the same images.

To send x with a hierarchical latent model, z is *decoded* from the bits already on the stack with q(z|x), x is encoded with
p(x|z), z with p(z): log q − log p(x|z) − log p(z) in all, −ELBO on average. The receiver undoes it in reverse order and gets
the first bits back. They are a loan, needed once a file; whatever random bits serve as the loan may carry a message.

z is coded on the grid z = μ_p + σ_p i/resolution. Seen from there the prior of every latent is the same quantised standard
Gaussian, and the posterior is N(Δμ/σ_p, Δσ²): the residual parameterisation is the coder's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import constriction
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kexue.checks import returned
from kexue.density.likelihoods import Likelihood

Categorical = constriction.stream.model.Categorical
QuantizedGaussian = constriction.stream.model.QuantizedGaussian
AnsCoder = constriction.stream.stack.AnsCoder
RESOLUTION = 64  # grid points a prior standard deviation: a tenth of the narrowest posteriors is not needed
REACH = 8  # prior standard deviations on either side


class Coded(NamedTuple):
    """What a file holds.

    Args:
        file: bits of the file.
        loan: bits that were on the stack before the first image and are there again after decoding.
        used: the part of the loan that was really needed.
        images: number of images.
    """

    file: int
    loan: int
    used: int
    images: int

    @property
    def net(self) -> int:
        """Bits the images themselves added."""
        return self.file - self.loan


@runtime_checkable
class LatentModel(Protocol):
    """A model that draws its groups of latents one after the other; NVAE and every simpler VAE are such models."""

    likelihood: Likelihood
    flows: Any

    @property
    def count(self) -> int:
        """Number of groups."""

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of each group."""

    def start(self, batch: int) -> Any:
        """The state above the first group."""

    def descend(self, group: int, state: Any) -> Any:
        """The state just above a group."""

    def prior(self, group: int, state: Any) -> Any:
        """p(z_l | z_<l), with `mean` and `scale`."""

    def posterior(self, group: int, state: Any, feature: Tensor) -> tuple[Any, Tensor]:
        """q(z_l | z_<l, x), with `mean` and `scale`, and its KL."""

    def absorb(self, group: int, state: Any, z: Tensor) -> Any:
        """The state below a group."""

    def decode(self, state: Any) -> Tensor:
        """The likelihood's parameters."""


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    if getattr(model, "training", False) or len(model.flows):
        raise ValueError(
            "model must be in evaluation mode and without flows: batch statistics and flowed latents have no decodable law"
        )
    with torch.no_grad():
        yield


def _grid() -> tuple[Any, Any]:
    """The posteriors' family, and the one prior of all latents."""
    edge = REACH * RESOLUTION
    return QuantizedGaussian(-edge, edge), QuantizedGaussian(-edge, edge, 0.0, float(RESOLUTION))


def _seen_from(p: Any, q: Any) -> tuple[np.ndarray, np.ndarray]:
    """The posterior's mean and scale in grid points of the prior."""
    returned("model.posterior", q.mean, p.mean.shape, p.mean.shape)
    mean = RESOLUTION * (q.mean - p.mean) / p.scale
    scale = RESOLUTION * q.scale / p.scale
    return tuple(t.double().flatten().cpu().numpy() for t in (mean, scale))


def _place(p: Any, symbols: np.ndarray) -> Tensor:
    """The latents at these grid points."""
    points = torch.as_tensor(symbols, device=p.mean.device).to(p.mean.dtype).view_as(p.mean)
    placed: Tensor = p.mean + p.scale * (points / RESOLUTION)
    return placed


def _table(model: LatentModel, state: Any, images: Sequence[int]) -> np.ndarray:
    """A row of probabilities for every value of every image, `images` being their shape."""
    parameters, levels = model.decode(state), model.likelihood.levels
    found = returned(
        "likelihood.table", model.likelihood.table(parameters), (*images, levels), parameters.shape
    )
    table = found.double().cpu().numpy()
    return np.ascontiguousarray(table.reshape(-1, levels).astype(np.float32))


def compress(
    model: LatentModel,
    images: Float[Tensor, "images channels high wide"],
    path: Path,
    *,
    seed: int,
    loan: int = 4096,
    batch: int = 25,
) -> Coded:
    """Write the images to a file of 32-bit words, little-endian.

    Args:
        model: in evaluation mode, without flows.
        images: levels in [0, 1].
        path: the file.
        seed: of the random words that are lent.
        loan: words lent; too few and the stack runs dry.
        batch: images coded side by side; the loan must pay for all of their latents.

    Returns:
        The sizes.

    Raises:
        ValueError: for a model in training mode or with flows; when the loan is used up.

    Source: Townsend, Bird & Barber 2019 (bits back with ANS); Hinton & van Camp 1993.
    """
    family, prior = _grid()
    lent = np.random.default_rng(seed).integers(0, 2**32, loan, dtype=np.uint32)
    lent[-1] |= 1  # the coder drops zero words at the end
    coder = AnsCoder(lent)
    least = coder.num_words()
    with _evaluating(model):
        for x in torch.split(images, batch):
            features, state = model.encode(x), model.start(len(x))
            drawn = []
            for group in range(model.count):
                state = model.descend(group, state)
                p, (q, _) = model.prior(group, state), model.posterior(group, state, features[group])
                drawn.append(coder.decode(family, *_seen_from(p, q)))
                state = model.absorb(group, state, _place(p, drawn[-1]))
            least = min(least, coder.num_words())
            symbols = (x * (model.likelihood.levels - 1)).round().to(torch.int32).flatten().cpu().numpy()
            coder.encode_reverse(symbols, Categorical(perfect=False), _table(model, state, x.shape))
            for symbols in reversed(drawn):
                coder.encode_reverse(symbols, prior)
    if least < 4:
        raise ValueError(
            f"loan must outlast the latents of {batch} images, got {loan} words and used them up"
        )
    words = coder.get_compressed()
    path.write_bytes(words.astype("<u4").tobytes())
    return Coded(8 * path.stat().st_size, 32 * loan, 32 * (loan - least), len(images))


def decompress(
    model: LatentModel,
    path: Path,
    *,
    images: int,
    shape: tuple[int, int, int],
    batch: int = 25,
    device: str = "cpu",
) -> tuple[Float[Tensor, "images channels high wide"], np.ndarray]:
    """Read the images of a file that `compress` wrote with the same model, and the bits that were lent.

    Args:
        model: the same, on the same kind of device.
        path: the file.
        images: how many there are.
        shape: of an image: channels, height, width.
        batch: as it was.
        device: where the model is.

    Returns:
        The images, and the words lent.

    Raises:
        ValueError: for a model in training mode or with flows.
    """
    family, prior = _grid()
    coder = AnsCoder(np.frombuffer(path.read_bytes(), dtype="<u4").astype(np.uint32))
    sizes = [min(batch, images - first) for first in range(0, images, batch)]
    parts = []
    with _evaluating(model):
        for size in reversed(sizes):
            state, drawn, above = model.start(size), [], []
            for group in range(model.count):
                state = model.descend(group, state)
                p = model.prior(group, state)
                above.append((state, p))
                drawn.append(coder.decode(prior, p.mean.numel()))
                state = model.absorb(group, state, _place(p, drawn[-1]))
            symbols = coder.decode(Categorical(perfect=False), _table(model, state, (size, *shape)))
            x = torch.as_tensor(symbols, device=device).float().view(size, *shape) / (
                model.likelihood.levels - 1
            )
            parts.append(x)
            features = model.encode(x)
            for group in reversed(range(model.count)):
                before, p = above[group]
                q, _ = model.posterior(group, before, features[group])
                coder.encode_reverse(drawn[group], family, *_seen_from(p, q))
    return torch.cat(parts[::-1]), coder.get_compressed()


def write_levels(
    images: Float[Tensor, "images channels high wide"],
    table: Float[Tensor, "one_or_images channels high wide levels"],
    path: Path,
) -> int:
    """Write images without latents: every value coded with its row of the table.

    The coder divides each row by its sum. A row that sums to more than one therefore costs more than it claims.

    Args:
        images: levels in [0, 1].
        table: mass of every level of every value, for all images or for each.
        path: the file.

    Returns:
        Bits of the file.
    """
    levels = table.shape[-1]
    rows = table.float().cpu().expand(len(images), *table.shape[1:])
    symbols = (images * (levels - 1)).round().to(torch.int32).cpu()
    coder = AnsCoder()
    for x, law in zip(
        symbols, rows, strict=True
    ):  # one image at a time: all tables at once would fill the memory
        coder.encode_reverse(
            x.flatten().numpy(),
            Categorical(perfect=False),
            np.ascontiguousarray(law.reshape(-1, levels).numpy()),
        )
    path.write_bytes(coder.get_compressed().astype("<u4").tobytes())
    return 8 * path.stat().st_size
