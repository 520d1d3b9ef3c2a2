"""A small classifier: the book's stand-in for perception, and the features of its Fréchet distances."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from kexue.progress import progress


class Classifier(nn.Module):
    """A perceptron of two hidden layers; the second, after its ReLU, are the features.

    Args:
        inputs: d ≥ 1.
        classes: ≥ 2.
        widths: of the two hidden layers.
    """

    def __init__(self, inputs: int, classes: int, widths: tuple[int, int] = (128, 64)) -> None:
        super().__init__()
        if inputs < 1 or classes < 2:
            raise ValueError(f"inputs must be ≥ 1 and classes ≥ 2, got {inputs} and {classes}")
        first, second = widths
        self.first, self.second = nn.Linear(inputs, first), nn.Linear(first, second)
        self.last = nn.Linear(second, classes)

    def features(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n features"]:
        """Second hidden layer."""
        return relu(self.second(relu(self.first(x))))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.last(self.features(x))  # type: ignore[no-any-return]


def train_classifier(
    images: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    generator: torch.Generator,
    steps: int = 600,
    batch: int = 128,
    learning_rate: float = 2e-3,
    widths: tuple[int, int] = (128, 64),
) -> Classifier:
    """Train a classifier by Adam on the cross entropy.

    Args:
        images: x, shape (n, d).
        labels: classes 0, 1, …, shape (n,).
        generator: source of the initial weights and batches, on the images' device.
        steps: ≥ 1.
        batch: images a step.
        learning_rate: of Adam.
        widths: of the two hidden layers.

    Returns:
        The classifier, its parameters frozen.

    Raises:
        ValueError: when images and labels differ in number, or there are none.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"images and labels must be as many and some, got {len(images)} and {len(labels)}")
    network = Classifier(images.shape[1], int(labels.max()) + 1, widths).to(images.device)
    with torch.no_grad():
        for layer in (network.first, network.second, network.last):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    for _ in progress(range(steps), "classifier"):
        chosen = torch.randint(len(images), (batch,), generator=generator, device=images.device)
        loss = cross_entropy(network(images[chosen]), labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.requires_grad_(False)
