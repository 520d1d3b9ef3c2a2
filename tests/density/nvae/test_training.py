"""The whole model: its loss, resuming, divergence, precision, evaluation, sampling."""

import itertools

import pytest
import torch

from kexue.checkpoint import Paused
from kexue.density.likelihoods import Bernoulli, LogisticMixture
from kexue.density.nvae import sampling, training
from kexue.density.nvae.model import NVAE
from kexue.density.nvae.training import Diverged, Trainer
from tests.density.nvae.small import images, vae


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def trainer(steps=6, model=None, **changes):
    return Trainer(model or vae(), images(64), steps=steps, **{"batch": 16, "rise": 2, "seed": 3, **changes})


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parameterisation": "absolute"},
        {"parameterisation": "released", "flows": 1, "flow": "shift"},
        {"flows": 1},
        {"shared": False, "norm": "batch+weight", "recompute": True},
        {
            "encoder": "separable",
            "decoder": "regular",
            "norm": "weight",
            "activation": "elu",
            "squeeze": False,
        },
        {"groups": (2, 1, 1), "cells": 2, "outer": 2},
        {"likelihood": LogisticMixture(2, 16)},
    ],
)
def test_every_variant_trains_a_step_and_its_terms_are_consistent(changes):
    model = trainer(1, vae(**changes)).run()
    x = images(5).round() if model.likelihood.levels == 2 else (images(5) * 15).round() / 15
    out = model(x, generator=source())
    assert out.kl.shape == (5, model.count)
    assert len(out.latents) == model.count
    assert torch.isfinite(out.log_ratio).all()
    if not len(model.flows):
        for detail, kl in zip(out.details, out.kl.T, strict=True):
            assert torch.allclose(detail.flatten(1).sum(1), kl, atol=1e-5)


def test_sampled_and_closed_kl_agree():
    model = trainer(4).run()
    x = images(2).round().repeat_interleave(2_000, 0)
    with torch.no_grad():
        out = model(x, generator=source())
    difference = (out.kl.sum(1) + out.log_ratio).view(2, 2_000)
    error = difference.std(1) / 2_000**0.5
    assert bool((difference.mean(1).abs() < 4 * error + 1e-4).all())


def test_likelihood_in_evaluation_mode_does_not_depend_on_the_batch():
    model = trainer(3).run()
    x = images(8).round()
    z = model(x, generator=source()).latents
    whole = sampling.sample(model, 8, generator=source(), given=z)
    part = sampling.sample(model, 3, generator=source(), given=[each[:3] for each in z])
    assert torch.allclose(whole[:3], part, atol=1e-5)
    with pytest.raises(ValueError, match="evaluation mode"):
        sampling.negative_elbo(model.train(), x, generator=source())


def test_resuming_is_bitwise_the_same_run(tmp_path):
    straight = trainer().run()
    first = trainer()
    first.run(3)
    first.save(tmp_path / "checkpoint.pt")
    second = trainer(model=vae(groups=(1, 1)))
    second.model.load_state_dict({k: v + 1 for k, v in second.model.state_dict().items()})
    second.load(tmp_path / "checkpoint.pt")
    assert second.step == 3
    assert same(straight, second.run())
    whole = trainer()
    whole.run()
    assert second.history == whole.history
    assert not list(tmp_path.glob("*.part"))


def test_resume_pauses_and_goes_on(tmp_path):
    path = tmp_path / "deep" / "checkpoint.pt"
    with pytest.raises(Paused, match="0 of 6 steps"):
        trainer().resume(path, seconds=0.0)
    began = trainer()
    began.run(2)
    began.save(path)
    assert same(trainer().resume(path, seconds=100.0, every=2), trainer().run())


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_is_reported_with_its_step(where, monkeypatch):
    model = vae()
    broken = trainer(model=model)
    broken.run(4)
    if where == "loss":
        with torch.no_grad():
            model.stem.weight[0, 0, 0, 0] = torch.nan
    else:
        model.stem.weight.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(Diverged, match=rf"step 4: .*{where}") as caught:
        broken.run()
    assert caught.value.step == 4
    assert len(broken.history) == 4


def test_half_precision_keeps_the_heads_in_single(tmp_path):
    half, single = trainer(precision="bfloat16"), trainer()
    half.run(), single.run()
    assert half.history[-1][0] == pytest.approx(single.history[-1][0], rel=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = half.model(images(2).round(), generator=source())
    assert out.parameters.dtype == out.kl.dtype == torch.float32


def test_training_lowers_the_bound():
    model = vae()
    before = sampling.negative_elbo(model.eval(), images(40).round(), generator=source()).sum(1).mean()
    after = (
        sampling.negative_elbo(trainer(40, model).run(), images(40).round(), generator=source()).sum(1).mean()
    )
    assert after < before - 5


def test_keeping_everything_is_the_bound_and_nothing_pruned_costs_less_kl():
    model = trainer(10).run()
    x = images(30).round()
    whole = sampling.negative_elbo(model, x, generator=source(), passes=20).sum(1).mean()
    kept = torch.stack([sampling.pruned_negative_elbo(model, x, 1.0, generator=source(s)) for s in range(20)])
    assert float(kept.mean()) == pytest.approx(float(whole), rel=0.01)
    with pytest.raises(ValueError, match="keep must be"):
        sampling.pruned_negative_elbo(model, x, 0.0, generator=source())


def test_given_latents_are_kept_and_temperature_zero_is_deterministic():
    model = trainer(2).run()
    cold = [sampling.sample(model, 3, generator=source(s), temperature=0.0) for s in (1, 2)]
    assert torch.equal(*cold)
    z = model(images(3).round(), generator=source()).latents
    again = [sampling.sample(model, 3, generator=source(s), given=z) for s in (1, 2)]
    assert torch.equal(*again)


def test_reestimated_statistics_are_the_average_over_passes():
    model = vae().eval()
    first = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    first.register_forward_hook(lambda module, entered, out: seen.append(entered[0].mean(dim=(0, 2, 3))))
    noise = source(5)
    sampling.reestimate(model, lambda: model(torch.bernoulli(images(16), generator=noise)), 3)
    assert torch.allclose(first.running_mean, torch.stack(seen).mean(0), atol=1e-6)
    assert first.momentum == 0.05
    assert not model.training


def test_drawing_samples_leaves_the_encoders_statistics_alone():
    """Reset and never visited, they would be zeros and ones, and the copy would score wrongly without a word."""
    model = trainer(3).run()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    noise = source(5)
    sampling.reestimate(model, lambda: sampling.sample(model, 16, generator=noise), 3)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(k.startswith(("tower", "after")) for k in moved)


def test_reestimation_averages_with_recomputation_too():
    found = []
    for recompute in (False, True):
        model = vae(recompute=recompute).eval()
        noise = source(5)
        sampling.reestimate(model, lambda m=model, s=noise: sampling.sample(m, 16, generator=s), 3)
        found.append(model.state_dict())
    assert all(torch.equal(v, found[1][k]) for k, v in found[0].items())


def test_the_penalties_are_switched_off_one_by_one():
    """Neither λ reaches what the other penalises."""
    ends = {
        name: trainer(3, **options).run().state_dict()
        for name, options in {
            "both": {},
            "no spectral": {"penalty": 0.0},
            "no scales": {"scale_penalty": 0.0},
            "neither": {"penalty": 0.0, "scale_penalty": 0.0},
        }.items()
    }
    weight = "stem.weight"
    first = [trainer(1, **o) for o in ({"scale_penalty": 0.5}, {"scale_penalty": 0.0})]
    gradients = []
    for t in first:
        t.run()
        gradients.append(t.model.stem.weight.grad.clone())
    assert torch.equal(*gradients)  # the stem has no norm: in the first step λ' does not touch it
    for a, b in itertools.combinations(ends, 2):
        assert not torch.equal(ends[a][weight], ends[b][weight]), (a, b)


def test_balancing_ends_with_the_warm_up_by_steps_whatever_beta_does(monkeypatch):
    used = []
    sound = training.balance
    monkeypatch.setattr(training, "balance", lambda kl, alpha: used.append(1) or sound(kl, alpha))
    counts = []
    for every in (1, 7):
        used.clear()
        trainer(10, every=every).run()
        counts.append(len(used))
    assert counts[0] == counts[1]
    assert 0 < counts[0] < 10


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: vae(groups=(1, 1, 1, 1, 1)), "must be a multiple of"),
        (lambda: vae(groups=()), "must be a multiple of|groups"),
        (lambda: vae(parameterisation="relative"), "parameterisation must be one of"),
        (lambda: vae()(torch.zeros(2, 1, 9, 9)), "x must have shape"),
        (lambda: trainer(precision="float8"), "precision must be one of"),
        (lambda: trainer(batch=65), "batch must be between"),
    ],
)
def test_bad_sizes_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_padding_is_cut_off():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NVAE(
            (1, 6, 6), Bernoulli(), groups=(1, 1), channels=4, latent=2, expansion=2, padding=1
        ).eval()
    assert model(torch.ones(2, 1, 6, 6), generator=source()).parameters.shape == (2, 1, 6, 6)
