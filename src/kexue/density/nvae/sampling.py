"""Looking at a trained model: its bound, its samples at a temperature, its statistics re-estimated, its groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kexue.density.nvae import normal
from kexue.density.nvae.model import NVAE
from kexue.density.nvae.normalisation import Activated


def refuse_batch_statistics(model: nn.Module) -> None:
    """A model in training mode normalises with its batch: an image has no likelihood of its own then.

    Args:
        model: must be in evaluation mode.

    Raises:
        ValueError: when it is not.
    """
    if model.training:
        raise ValueError(
            "model must be in evaluation mode: batch statistics make an image's likelihood depend on its batch"
        )


@torch.no_grad()
def negative_elbo(
    model: NVAE,
    x: Float[Tensor, "images channels high wide"],
    *,
    generator: torch.Generator,
    batch: int = 250,
    passes: int = 1,
) -> Float[Tensor, "images terms"]:
    """−log p(x|z) and the KL of each group, a row an image, nats; their sum is −ELBO.

    Args:
        model: in evaluation mode.
        x: images.
        generator: of the latents.
        batch: images at a time.
        passes: samples of z, averaged.

    Returns:
        Shape (images, 1 + groups).

    Raises:
        ValueError: for a model in training mode.
    """
    refuse_batch_statistics(model)
    rows = []
    for part in torch.split(x, batch):
        total = torch.zeros(len(part), 1 + model.count, device=x.device)
        for _ in range(passes):
            out = model(part, generator=generator)
            distortion = -model.log_likelihood(out.parameters, part)
            total += torch.cat([distortion[:, None], out.kl], dim=1)
        rows.append(total / passes)
    return torch.cat(rows)


@torch.no_grad()
def pruned_negative_elbo(
    model: NVAE, x: Float[Tensor, "images channels high wide"], keep: float, *, generator: torch.Generator
) -> Float[Tensor, " images"]:
    """−ELBO when all but the most informative latents come from the prior, where they cost nothing.

    Args:
        model: in evaluation mode, without flows.
        x: images; their mean KL ranks the coordinates.
        keep: share of the coordinates that keep their posterior, in (0, 1].
        generator: of the latents.

    Returns:
        Nats of each image.

    Raises:
        ValueError: for a share out of range or a model with flows.
    """
    refuse_batch_statistics(model)
    if not 0 < keep <= 1 or len(model.flows):
        raise ValueError(
            f"keep must be in (0, 1] and the model without flows, got {keep} and {len(model.flows)} flows"
        )
    average = [kl.mean(0) for kl in model(x, generator=generator).details]
    pooled = torch.cat([kl.flatten() for kl in average])
    threshold = pooled.kthvalue(max(1, round((1 - keep) * len(pooled)))).values if keep < 1 else -torch.inf
    features, state = model.encode(x), model.start(len(x))
    total = torch.zeros(len(x), device=x.device)
    for group in range(model.count):
        state = model.descend(group, state)
        p = model.prior(group, state)
        q, kl = model.posterior(group, state, features[group])
        kept = (average[group] > threshold)[None].expand_as(kl)
        z = torch.where(kept, normal.draw(q, generator=generator), normal.draw(p, generator=generator))
        total += (kl * kept).flatten(1).sum(1)
        state = model.absorb(group, state, z)
    return total - model.log_likelihood(model.decode(state), x)


@torch.no_grad()
def sample(
    model: NVAE,
    count: int,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
    given: Iterable[Tensor] = (),
) -> Float[Tensor, "count outputs high wide"]:
    """The likelihood's parameters of images drawn from the model, every prior's scale times the temperature.

    Args:
        model: whatever its mode: in training mode it normalises with this batch.
        count: images.
        generator: of the latents.
        temperature: 1 draws from the model; below 1 from a narrower, prettier, other distribution.
        given: latents of the first groups, kept as they are, batch `count`.

    Returns:
        Parameters for `model.likelihood.mean` or `.sample`.

    Source: arXiv 2007.03898, section 4; kexue.fm/archives/7574.
    """
    state, kept = model.start(count), list(given)
    for group in range(model.count):
        state = model.descend(group, state)
        p = model.prior(group, state)
        z = kept[group] if group < len(kept) else normal.draw(p, generator=generator, temperature=temperature)
        state = model.absorb(group, state, z)
    return model.decode(state)


@torch.no_grad()
def reestimate(model: nn.Module, forward: Callable[[], object], passes: int) -> None:
    """Replace the running statistics of batch norms by their average over `passes` forward passes, in place.

    The model is another one afterwards: its likelihood changes, so score it before. A norm that no pass visits keeps its
    statistics: drawing samples visits the decoder alone, and the encoder stays as it was.

    Args:
        model: left in evaluation mode.
        forward: one pass, such as `lambda: sample(model, 16, generator=g, temperature=0.6)`.
        passes: number of passes ≥ 1; the paper has 500.

    Source: arXiv 2007.03898, section 4 (readjusting for low temperatures); kexue.fm/archives/7574.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    fused = [module for module in model.modules() if isinstance(module, Activated) and module.recompute]
    kept = [(norm.momentum, {k: v.clone() for k, v in norm.state_dict().items()}) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a plain average over batches
    for module in fused:
        module.recompute = False  # the fused form knows no plain average
    model.train()
    for _ in range(passes):
        forward()
    model.eval()
    for module in fused:
        module.recompute = True
    for norm, (momentum, state) in zip(norms, kept, strict=True):
        norm.momentum = momentum
        if not norm.num_batches_tracked:
            norm.load_state_dict(state)
