"""Spectral regularisation: a penalty on the largest singular value of every convolution's weight.

λ Σ_i s_i, with s_i of the weight reshaped to (outputs, inputs · k²), by a few power iterations a step. That is not the
norm of the convolution as an operator, which is up to √(k²) larger: `operator_norm` computes it, by Fourier transform.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from kexue.density.nvae.normalisation import Activated

FIRST, LATER = 40, 4  # power iterations at the first use and at every later one, as in the official code


class SpectralPenalty:
    """Σ_i s_i over the convolutions of a model, their weights of equal shape taken in one batch.

    Args:
        model: its convolutions are the weights; the singular vectors live on the model's device.
        generator: draws the first singular vectors.

    Source: arXiv 2007.03898, section 3.2; power iteration after Yoshida & Miyato 2017.
    """

    def __init__(self, model: nn.Module, *, generator: torch.Generator) -> None:
        self._shapes: dict[tuple[int, int], list[nn.Conv2d]] = {}
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                shape = (module.weight.shape[0], module.weight[0].numel())
                self._shapes.setdefault(shape, []).append(module)
        self._vectors: dict[tuple[int, int], Tensor] = {}
        for (outputs, inputs), layers in self._shapes.items():
            vectors = torch.randn(len(layers), inputs, 1, generator=generator, device=generator.device)
            self._vectors[outputs, inputs] = normalize(vectors, dim=1).to(layers[0].weight)
        self._first = True

    def __call__(self) -> Float[Tensor, ""]:
        """Σ_i uᵢᵀ Wᵢ vᵢ, differentiable in the weights."""
        totals = []
        for shape, layers in self._shapes.items():
            weights = torch.stack([layer.weight.flatten(1) for layer in layers]).float()
            with torch.no_grad():
                v = self._vectors[shape]
                for _ in range(FIRST if self._first else LATER):
                    u = normalize(weights @ v, dim=1)
                    v = normalize(weights.transpose(1, 2) @ u, dim=1)
                self._vectors[shape] = v
            totals.append((u.transpose(1, 2) @ weights @ v).sum())
        self._first = False
        return torch.stack(totals).sum()

    def state_dict(self) -> dict[str, Tensor]:
        """The singular vectors, for a checkpoint."""
        named = {f"{outputs}x{inputs}": v for (outputs, inputs), v in self._vectors.items()}
        return {**named, "first": torch.tensor(self._first)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        for (outputs, inputs), v in self._vectors.items():
            self._vectors[outputs, inputs] = state[f"{outputs}x{inputs}"].to(v)
        self._first = bool(state["first"])


def norm_penalty(model: nn.Module) -> Float[Tensor, ""]:
    """Σ over batch norms of max |γ|.

    Source: arXiv 2007.03898, section 3.1.
    """
    scales = [
        module.norm.weight.abs().max()
        for module in model.modules()
        if isinstance(module, Activated) and module.norm is not None
    ]
    return torch.stack(scales).sum() if scales else torch.zeros(())


def operator_norm(weight: Float[Tensor, "outputs inputs k k"], size: int, groups: int = 1) -> float:
    """The largest singular value of a circular convolution on a size × size grid.

    At each frequency the convolution is the (outputs × inputs) matrix of its Fourier transform; the norm is the largest
    singular value over frequencies.

    Args:
        weight: of the convolution.
        size: side of the grid, ≥ k.
        groups: of the convolution: channels of different groups do not meet.

    Returns:
        ‖W‖ as a map of images.

    Source: Sedghi, Gupta & Long 2019.
    """
    spectrum = torch.fft.fft2(weight.detach().double(), s=(size, size))
    blocks = spectrum.unflatten(0, (groups, -1)).permute(0, 3, 4, 1, 2)
    return float(torch.linalg.matrix_norm(blocks, ord=2).max())
