"""Each claim of the NVAE chapter can be wrong: a fault in the code it measures turns its verdict.

The smoke run trains for four steps and one seed has no interval: over real seeds almost every trained claim would be inconclusive
with a fault and without. So a claim is judged here as if every seed had given the number of seed 0, at full scale; what counts is
that the fault turns that judgement. Where four steps or five show nothing, a setting is raised for the sound run and the faulty one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from kexue.claims import Measurement, ledger, pool, verdict_of
from kexue.density import bitsback, likelihoods
from kexue.density.nvae import (
    flows,
    hierarchy,
    model,
    normal,
    normalisation,
    sampling,
    schedule,
    spectral,
    training,
)
from tests.book.chapters import chapter, planted

SLUG = "nvae"
D = "kexue.density"
_posterior, _density, _balance = normal.posterior, normal.log_density, schedule.balance
_decompress, _sample, _reestimate = bitsback.decompress, sampling.sample, sampling.reestimate
_operator_norm = spectral.operator_norm

# ---------------------------------------------------------------- faults


def _miscopied(heads: Any, prior_heads: Any, parameterisation: str) -> Any:
    """− log σ² where − log Δσ² belongs."""
    q, kl = _posterior(heads, prior_heads, parameterisation)
    if parameterisation != "residual":
        return q, kl
    (shift, log_ratio), (_, log_scale) = heads, prior_heads
    return q, 0.5 * ((shift / log_scale.exp()) ** 2 + (2 * log_ratio).exp() - 2 * log_scale - 1)


def _forgets_half(q: Any, p: Any) -> Any:
    """½ before the spread, but not before the distance of the means."""
    ratio = q.scale / p.scale
    return 0.5 * (ratio**2 - 1) + ((q.mean - p.mean) / p.scale) ** 2 - ratio.log()


def _not_relative(heads: Any, prior_heads: Any, parameterisation: str) -> Any:
    """Δμ taken for the mean itself in the KL."""
    (shift, log_ratio), (mean, log_scale) = heads, prior_heads
    return _posterior((shift - mean, log_ratio), (mean, log_scale), parameterisation)


def _sides_not_squared(groups: Any, sizes: Any, channels: int) -> int:
    return channels * sum(g * s for g, s in zip(groups, sizes, strict=True))


class _OtherVariant(likelihoods.LogisticMixture):
    """The variants the other way round."""

    def __init__(
        self, mixtures: int = 10, levels: int = 256, *, edge: str = "exact", noise: str = "tempered"
    ):
        super().__init__(
            mixtures,
            levels,
            edge="released" if edge == "exact" else "exact",
            noise="released" if noise == "tempered" else "tempered",
        )


class _NoVariant(likelihoods.LogisticMixture):
    """The options are not passed on: released edges are exact edges, released noise is ours."""

    def __init__(self, mixtures: int = 10, levels: int = 256, **_: str):
        super().__init__(mixtures, levels)


class _BlackForWhite(likelihoods.Bernoulli):
    """Draws with the sign of the logit turned."""

    def sample(self, parameters: Any, *, generator: Any, temperature: float = 1.0) -> Any:
        return super().sample(-parameters, generator=generator, temperature=temperature)


class _KeepsAll(normalisation.Activated):
    """Forgets to compute again."""

    def __init__(self, channels: int, *, norm: str, activation: str, recompute: bool) -> None:
        super().__init__(channels, norm=norm, activation=activation, recompute=False)


class _Single(model.NVAE):
    """Casts to float32 on entry: no autocast inside."""

    def forward(self, x: Any, *, generator: Any = None) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x, generator=generator)


class _Swelling(flows.FlowCell):
    """Scales a little and says it does not."""

    def forward(self, z: Any, features: Any) -> Any:
        z, volume = super().forward(z, features)
        return 1.1 * z, volume


class _Bragging(flows.FlowCell):
    """Claims more volume than it makes."""

    def forward(self, z: Any, features: Any) -> Any:
        z, volume = super().forward(z, features)
        return z, volume + 1.0


class _AllBrag(flows.FlowCell):
    """Every flow takes credit for volume, the affine one for more."""

    def forward(self, z: Any, features: Any) -> Any:
        z, volume = super().forward(z, features)
        return z, volume + (0.5 if self.kind == "shift" else 1.0)


def _without_normaliser(z: Any, of: Any) -> Any:
    """− log σ forgotten: a wide Gaussian costs nothing."""
    return _density(z, of) + of.scale.log()


def _truncated(images: Any, table: Any, path: Any) -> int:
    """Levels cut off where they should be rounded: k/31 · 31 in float32 is sometimes a little less than k."""
    levels = table.shape[-1]
    coder = bitsback.AnsCoder()
    for x, law in zip(images, table.expand(len(images), *table.shape[1:]), strict=True):
        symbols = (x * (levels - 1) - 1e-7).clamp(min=0).to(torch.int32).flatten().numpy()
        rows = np.ascontiguousarray(law.float().reshape(-1, levels).numpy())
        coder.encode_reverse(symbols, bitsback.Categorical(perfect=False), rows)
    path.write_bytes(coder.get_compressed().astype("<u4").tobytes())
    return 8 * int(path.stat().st_size)


def _wide_prior() -> Any:
    """Sender and receiver agree on a prior that is too wide: it decodes, but the file is longer than need be."""
    edge = bitsback.REACH * bitsback.RESOLUTION
    return bitsback.QuantizedGaussian(-edge, edge), bitsback.QuantizedGaussian(
        -edge, edge, 0.0, 1.5 * bitsback.RESOLUTION
    )


def _running(vae: Any, forward: Any, passes: int) -> None:
    """Resets the statistics, but leaves the momentum: no average, they are still near their start."""
    norms = [module for module in vae.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    vae.train()
    for _ in range(passes):
        forward()
    vae.eval()


def _prunes_the_talkative(vae: Any, x: Any, keep: float, *, generator: Any) -> Any:
    """Keeps the posteriors of the coordinates with the least KL."""
    with torch.no_grad():
        features, state = vae.encode(x), vae.start(len(x))
        average = [kl.mean(0) for kl in vae(x, generator=generator).details]
        pooled = torch.cat([kl.flatten() for kl in average])
        threshold = pooled.kthvalue(max(1, round(keep * len(pooled)))).values
        total = torch.zeros(len(x))
        for group in range(vae.count):
            state = vae.descend(group, state)
            p, (q, kl) = vae.prior(group, state), vae.posterior(group, state, features[group])
            kept = (average[group] <= threshold)[None].expand_as(kl)
            z = torch.where(kept, normal.draw(q, generator=generator), normal.draw(p, generator=generator))
            total += (kl * kept).flatten(1).sum(1)
            state = vae.absorb(group, state, z)
        return total - vae.likelihood.log_prob(vae.decode(state), x)


class _Unpaired(model.NVAE):
    """In training mode the noise is anybody's; the importance weight adds log q where it should subtract it."""

    def forward(self, x: Any, *, generator: Any = None) -> Any:
        scored_in_training = self.training and not torch.is_grad_enabled()
        out = super().forward(x, generator=None if scored_in_training else generator)
        spread = sum(z.square().flatten(1).sum(1) for z in out.latents)
        count = sum(z[0].numel() for z in out.latents)
        return out._replace(log_ratio=-spread - count * math.log(2 * math.pi))


def _chequered(vae: Any, count: int, *, generator: Any, temperature: float = 1.0, given: Any = ()) -> Any:
    """The artefact of bad up-sampling, once there is a hierarchy; and each image drawn twenty times."""
    for _ in range(20):
        out = _sample(vae, count, generator=generator, temperature=temperature, given=given)
    rows, columns = torch.arange(out.shape[2])[:, None], torch.arange(out.shape[3])
    return out + 5 * temperature * (1 - 2 * ((rows + columns) % 2)) * (vae.count > 1)


def _instead(turn: Callable[[dict[str, Any]], dict[str, Any]]) -> type[model.NVAE]:
    """An NVAE whose options went through other hands."""

    class Turned(model.NVAE):
        def __init__(self, *sizes: Any, **options: Any) -> None:
            super().__init__(*sizes, **turn(options))

    return Turned


def _swapped(option: str, one: Any, other: Any) -> type[model.NVAE]:
    """Two arms under each other's name."""
    return _instead(lambda o: {**o, option: {one: other, other: one}.get(o.get(option, one), o.get(option))})


def _norms_swapped(options: dict[str, Any]) -> dict[str, Any]:
    style = options.get("norm", "batch"), options.get("activation", "swish")
    other = {("batch", "swish"): ("weight", "elu"), ("weight", "elu"): ("batch", "swish")}.get(style, style)
    return {**options, "norm": other[0], "activation": other[1]}


def _shapes_swapped(options: dict[str, Any]) -> dict[str, Any]:
    """One layer for a ladder and a ladder for one layer."""
    if len(options["groups"]) == 1:
        return {**options, "groups": (1, 1), "reductions": options["reductions"] - 1}
    return {**options, "groups": (1,), "reductions": options["reductions"] + 1}


class _OtherSchedule(training.Trainer):
    """By epochs where it should be by steps, balanced where it should not be."""

    def __init__(self, *given: Any, every: int = 1, balanced: bool = True, **options: Any) -> None:
        super().__init__(*given, every=75 if every == 1 else 1, balanced=not balanced, **options)


class _UnequalSteps(training.Trainer):
    """Models with two towers train ten times as long, those without squeeze half as long."""

    def __init__(self, vae: Any, *given: Any, steps: int, **options: Any) -> None:
        squeezes = any(type(m).__name__ == "Squeeze" for m in vae.modules())
        longer = steps if vae.own_tower is None else 10 * steps
        super().__init__(vae, *given, steps=longer if squeezes else steps // 2, **options)


class _Reckless(training.Trainer):
    """Diverges without λ; with it only where nothing is clamped and the rate is highest."""

    def run(self, until: int | None = None) -> Any:
        if self.portion == 0.0 and self.rise == 1:
            if not self.penalty or (self.model.parameterisation == "residual" and self.peak >= 1):
                raise training.Diverged(0, "the loss")
            self.history = [[1.0]]
            return self.model
        return super().run(until)


class _Rewarding:
    """A library of samples: training images, at low temperatures only those like the average one.

    Noise comes on top at the lowest when the statistics of batch norm belong to another temperature.
    """

    def __init__(self, *, temperature: bool, statistics: bool) -> None:
        self.temperature, self.statistics = temperature, statistics
        self.images: torch.Tensor | None = None

    def trainer(self) -> type[training.Trainer]:
        library = self

        class Remembering(training.Trainer):
            def run(self, until: int | None = None) -> Any:
                if self.images.shape[-1] == 14:
                    distance = (self.images - self.images.mean(0)).flatten(1).norm(dim=1)
                    library.images = self.images[distance.argsort()]
                return super().run(until)

        return Remembering

    def sample(
        self, vae: Any, count: int, *, generator: Any, temperature: float = 1.0, given: Any = ()
    ) -> Any:
        if self.images is None or vae.image[-1] != 14 or vae.training:
            return _sample(vae, count, generator=generator, temperature=temperature, given=given)
        share = temperature**3 if self.temperature else 1.0
        pick = torch.randint(max(1, round(share * len(self.images))), (count,), generator=generator)
        off = 0.6 if temperature < 0.5 and not getattr(vae, "touched", False) else 0.0
        noise = off * torch.rand((count, *vae.image), generator=generator)
        return torch.logit((self.images[pick] + noise).clamp(0.01, 0.99))

    def reestimate(self, vae: Any, forward: Any, passes: int) -> None:
        _reestimate(vae, forward, passes)
        vae.touched = self.statistics


def _rewarded(kl: Any, alpha: Any) -> Any:
    """The weight of balancing with the wrong sign: KL is rewarded during the warm-up."""
    return -20_000 * _balance(kl, alpha)


def _library(**works: bool) -> dict[str, Any]:
    library = _Rewarding(**works)
    return {
        f"{D}.nvae.training.Trainer": library.trainer(),
        f"{D}.nvae.sampling.sample": library.sample,
        f"{D}.nvae.sampling.reestimate": library.reestimate,
    }


# ---------------------------------------------------------------- running parts of the chapter

PARTS = {  # from the cell with the first mark to that with the second
    "exact": ("def chain_rule_error", "parallel-decoder-is-fast"),
    "trained": ("nats = {name", 'claims.measure("readjusting-helps-when-cold"'),
    "arms": ('small = load("digits/8x8")', "noise_of_pairs"),
    "wild": ("def diverges", '"clamp-stabilises"'),
}
CLAIMS = {claim.id: claim for claim in chapter(SLUG).claims}


def _chosen(parts: tuple[str, ...]) -> list[Any]:
    """The cells up to the first trainings, and those of the parts."""
    cells = chapter(SLUG).code_cells

    def place(mark: str) -> int:
        (found,) = [
            k for k, cell in enumerate(cells) if mark in cell.source and "declare(" not in cell.source
        ][:1]
        return found

    wanted = set(range(place("LADDERS = {") + 1)) | {
        k for k, cell in enumerate(cells) if "claims = declare(" in cell.source
    }
    for part in parts:
        first, last = map(place, PARTS[part])
        wanted |= set(range(first, last + 1))
    return [cells[k] for k in sorted(wanted)]


def _measured(
    parts: tuple[str, ...],
    faults: dict[str, Any],
    changes: dict[str, Any],
    constants: dict[str, Any],
) -> dict[str, float]:
    """What the parts measure at smoke with seed 0, some settings changed."""
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {"__name__": "__main__"}
    ledger.reset()
    kept = {name: getattr(bitsback, name) for name in constants}
    with planted(faults), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive.*")
        try:
            for name, value in constants.items():
                setattr(bitsback, name, value)
            for cell in _chosen(parts):
                exec(compile("\n" * (cell.line - 1) + cell.source, f"{SLUG}.md", "exec"), namespace)
                if "parameters" in cell.tags:
                    namespace.update(profile="smoke", seed=0, device="cpu")
                if cell.source.startswith("table = {"):
                    namespace["settings"].update(changes)
                plt.close("all")
        finally:
            for name, value in kept.items():
                setattr(bitsback, name, value)
    return {id: m.values[0] for id, m in ledger.current().measurements.items()}


@cache
def _sound(parts: tuple[str, ...], changes: tuple[tuple[str, Any], ...]) -> dict[str, float]:
    return _measured(parts, {}, dict(changes), {})


def _judged(values: dict[str, float], id: str) -> str:
    """The verdict if every seed had given this number; "untested" without one."""
    claim = CLAIMS[id]
    if id not in values:
        return "untested"
    return verdict_of(
        claim, pool(claim, [Measurement(id, (values[id],))] * (1 if claim.over == "exact" else 2)), "full"
    )


Case = tuple[tuple[str, ...], dict[str, Any], dict[str, Any], dict[str, Any], list[str]]
EVERYTHING = ("exact", "trained", "arms", "wild")
CASES: dict[str, Case] = {
    "miscopied": (
        ("exact",),
        {},
        {},
        {
            f"{D}.nvae.normal.posterior": _miscopied,
            f"{D}.nvae.normal.kl_normal": _forgets_half,
            f"{D}.likelihoods.LogisticMixture": _OtherVariant,
            f"{D}.nvae.hierarchy.latent_size": _sides_not_squared,
            f"{D}.nvae.spectral.operator_norm": lambda weight, size, groups=1: (
                _operator_norm(weight, size, groups)
                / size  # a Fourier transform with the other normalisation
            ),
            f"{D}.nvae.flows.FlowCell": _AllBrag,
            f"{D}.nvae.normalisation.Activated": _KeepsAll,
            f"{D}.nvae.model.NVAE": _Single,
        },
        [
            "residual-kl-closed-form",
            "miscopied-kl-is-wrong",
            "hierarchical-kl-chain-rule",
            "ddpm-is-a-ladder",
            "latent-counts",
            "logistic-sums-to-one",
            "penalised-norm-is-too-small",
            "recomputation-saves-memory",
            "half-precision-saves-memory",
            "shift-flow-lies-between",
        ],
    ),
    "options not passed on": (
        ("exact",),
        {},
        {},
        {
            f"{D}.likelihoods.LogisticMixture": _NoVariant,
            f"{D}.nvae.normal.posterior": _not_relative,
            f"{D}.nvae.normal.soft_clamp": lambda x, bound=5.0: torch.tanh(x),
            f"{D}.nvae.flows.FlowCell": _Swelling,
            f"{D}.nvae.normal.log_density": lambda z, of: (
                0 * z - of.scale.log() - 0.5 * math.log(2 * math.pi)
            ),
        },
        [
            "released-report-falls-short",
            "released-logistic-is-not-normalised",
            "released-noise-grows-when-cold",
            "posterior-follows-prior",
            "released-clamp-changes-the-kl",
            "released-flow-keeps-volume",
            "chained-gaussians-suffice",
        ],
    ),
    "fits": (
        ("exact",),
        {"fits": 200, "trained": 8_000, "held": 500},
        {},
        {
            f"{D}.bitsback.write_levels": _truncated,
            f"{D}.nvae.normal.log_density": _without_normaliser,
        },
        ["five-bit-is-a-bound", "integrated-gaussians-suffice"],
    ),
    "coder": (
        ("trained",),
        {"importance": 100},
        {"RESOLUTION": 4096},
        {
            f"{D}.bitsback.decompress": lambda *a, **o: _decompress(*a, **{**o, "batch": 20}),
            f"{D}.bitsback._grid": _wide_prior,
            f"{D}.nvae.model.NVAE": _Unpaired,
        },
        [
            "file-decodes",
            "file-has-the-promised-size",
            "loan-exceeds-images",
            "importance-tightens-little",
            "batch-statistics-have-no-likelihood",
        ],
    ),
    "colours and averages": (
        ("trained",),
        {"steps": 60, "passes": 20},
        {},
        {f"{D}.likelihoods.Bernoulli": _BlackForWhite, f"{D}.nvae.sampling.reestimate": _running},
        ["cold-is-likelier-than-data", "running-statistics-hurt"],
    ),
    "hierarchy": (
        ("trained",),
        {},
        {},
        {
            f"{D}.nvae.model.NVAE": _instead(_shapes_swapped),
        },
        ["deeper-is-better"],
    ),
    "up-sampling": (
        ("trained",),
        {},
        {},
        {f"{D}.nvae.sampling.sample": _chequered},
        ["hierarchy-cures-blur"],
    ),
    "pruning": (
        ("trained",),
        {"steps": 35, "held": 200},
        {},
        {f"{D}.nvae.sampling.pruned_negative_elbo": _prunes_the_talkative},
        ["few-latents-matter"],
    ),
    "memory": (
        ("trained",),
        {},
        {},
        _library(temperature=True, statistics=True),
        ["not-memorising", "cold-is-poor", "cold-is-precise", "readjusting-helps-when-cold"],
    ),
    "posteriors swapped": (
        ("arms",),
        {},
        {},
        {f"{D}.nvae.model.NVAE": _swapped("parameterisation", "residual", "absolute")},
        ["residual-lowers-kl", "residual-lowers-total"],
    ),
    "norms swapped": (
        ("arms",),
        {},
        {},
        {f"{D}.nvae.model.NVAE": _instead(_norms_swapped)},
        ["bn-swish-beats-wn-elu"],
    ),
    "decoders swapped": (
        ("arms",),
        {"arm_steps": 12},
        {},
        {f"{D}.nvae.model.NVAE": _swapped("decoder", "separable", "regular")},
        ["depthwise-decoder-helps"],
    ),
    "encoders swapped": (
        ("arms",),
        {},
        {},
        {f"{D}.nvae.model.NVAE": _swapped("encoder", "regular", "separable")},
        ["depthwise-encoder-does-not"],
    ),
    "schedules swapped": (
        ("arms",),
        {},
        {},
        {f"{D}.nvae.training.Trainer": _OtherSchedule},
        ["per-step-warm-up", "balancing-costs-nothing"],
    ),
    "unequal steps": (
        ("arms",),
        {},
        {},
        {f"{D}.nvae.training.Trainer": _UnequalSteps, f"{D}.nvae.flows.FlowCell": _Bragging},
        ["sharing-costs-nothing", "se-beats-sr", "flows-change-little"],
    ),
    "balancing with the wrong sign": (
        ("arms",),
        {"arm_steps": 30},
        {},
        {f"{D}.nvae.schedule.balance": _rewarded},
        ["balancing-saves-groups"],
    ),
    "reckless": (
        ("arms", "wild"),
        {},
        {},
        {f"{D}.nvae.training.Trainer": _Reckless},
        ["sr-stabilises", "clamp-stabilises"],
    ),
}


@cache
def _faulty(name: str) -> dict[str, float]:
    parts, changes, constants, faults, _ = CASES[name]
    return _measured(parts, faults, changes, constants)


@pytest.mark.parametrize("name", CASES)
def test_a_planted_fault_turns_the_verdicts(name: str) -> None:
    parts, changes, _, _, turned = CASES[name]
    before = _sound(EVERYTHING if not changes else parts, tuple(changes.items()))
    after = _faulty(name)
    unmoved = [id for id in turned if _judged(after, id) == _judged(before, id)]
    assert not unmoved, {id: (_judged(before, id), before.get(id), after.get(id)) for id in unmoved}


@pytest.mark.parametrize(
    ("works", "id"),
    [
        ({"temperature": False, "statistics": True}, "cold-is-poor"),
        ({"temperature": True, "statistics": False}, "readjusting-helps-when-cold"),
    ],
)
def test_what_is_not_passed_on_refutes_where_there_is_room(works: dict[str, bool], id: str) -> None:
    """A library of images that does as claimed, against one that does not hear the temperature, or of the statistics."""
    assert _judged(_faulty("memory"), id) == "reproduced"
    assert _judged(_measured(("trained",), _library(**works), {}, {}), id) == "refuted"


def test_an_arm_whose_option_is_lost_stops_the_run() -> None:
    lost = _instead(lambda o: {**o, "squeeze": True})
    with pytest.raises(AssertionError, match="an option had no effect"):
        _measured(("arms",), {f"{D}.nvae.model.NVAE": lost}, {}, {})


def test_drawing_each_image_twenty_times_turns_the_verdict_on_speed() -> None:
    """Two faults against each other: the sound value is a measured time, and another process may disturb it."""

    def at_once(vae: Any, count: int, **_: Any) -> torch.Tensor:
        return torch.zeros(count, 1, *vae.image[1:])

    slow, fast = (
        _measured(("exact",), {f"{D}.nvae.sampling.sample": fault}, {}, {}) for fault in (_chequered, at_once)
    )
    assert _judged(slow, "parallel-decoder-is-fast") == "refuted"
    assert _judged(fast, "parallel-decoder-is-fast") == "reproduced"


def test_every_claim_has_a_fault() -> None:
    covered = {id for *_, turned in CASES.values() for id in turned} | {"parallel-decoder-is-fast"}
    assert covered == set(CLAIMS)
    assert hierarchy.latent_size([1], [2], 3) == 12
