"""A model and images small enough for tests."""

import torch

from kexue.density.likelihoods import Bernoulli
from kexue.density.nvae.model import NVAE


def vae(**changes):
    """An NVAE of 8 × 8 images with two groups, the same weights at every call."""
    options = {"groups": (1, 1), "channels": 4, "latent": 2, "expansion": 2, **changes}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NVAE((1, 8, 8), options.pop("likelihood", Bernoulli()), **options)


def images(count):
    """Blobs in [0, 1], shape (count, 1, 8, 8)."""
    source = torch.Generator().manual_seed(7)
    centre = 1 + 5 * torch.rand(count, 2, 1, 1, generator=source)
    rows, columns = torch.arange(8.0)[None, :, None], torch.arange(8.0)[None, None]
    squared = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2
    return torch.exp(-squared / 4)[:, None]
