"""log p(x) with K importance samples: streamed, all at once, and by Pyro, on the same VAE, in the same run.

    python benchmarks/density.py                  # K = 100,000, two images of 784 points
    python benchmarks/density.py --samples 10000
    python benchmarks/density.py --tiny           # seconds: only to see that it runs
    python benchmarks/density.py --record         # and keep the figures for the book's Speed page

Each way runs in a process of its own, on one thread, in float32, on the same untrained network (784-200-20) and the same
two images; memory is the growth of the resident set over what was held before the call (after one call with K = 100).

* kexue: `evaluate.log_marginal`, which also returns the ELBO, the effective sample size and k̂.
* naive: all K samples in one tensor, one log-sum-exp.
* pyro: `pyro.infer.importance.vectorized_importance_weights`, which is Pyro's importance sampler run in parallel.
* pyro, sequential: `pyro.infer.Importance`, one trace a sample; timed on K/100 samples and scaled up.

The estimates differ by chance alone: their spread is printed beside them. After that, the memory of the streamed way from
K = 1 to ten times K.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from record import add_options, record

from kexue.density import evaluate, proposals, vae

DATA, LATENT, IMAGES = 784, 20, 2


def setting() -> tuple[vae.VAE, torch.Tensor, torch.Generator]:
    """The network, the images, a generator."""
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(0)
    model = vae.VAE(DATA, (200,), LATENT, vae.Bernoulli(), generator=source)
    return model, torch.bernoulli(torch.full((IMAGES, DATA), 0.3), generator=source), source


def kexue(samples: int) -> torch.Tensor:
    """Streamed."""
    model, x, source = setting()
    with torch.no_grad():
        return evaluate.log_marginal(
            model.log_joint(x), model.encode(x), samples, generator=source
        ).log_marginal


def naive(samples: int) -> torch.Tensor:
    """All at once."""
    model, x, source = setting()
    with torch.no_grad():
        log_w = proposals.log_weights(model.log_joint(x), model.encode(x), samples, generator=source)
        return torch.logsumexp(log_w.double(), 0) - math.log(samples)


def _pyro_pair(model: vae.VAE) -> tuple[Callable[[torch.Tensor], None], Callable[[torch.Tensor], None]]:
    import pyro
    import pyro.distributions as dist

    def joint(x: torch.Tensor) -> None:
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=model.decoder(z)).to_event(1), obs=x)

    def guide(x: torch.Tensor) -> None:
        with pyro.plate("images", len(x)):
            q = model.encode(x)
            pyro.sample("z", dist.Normal(q.mean, torch.exp(q.log_scale)).to_event(1))

    return joint, guide


def pyro(samples: int) -> torch.Tensor:
    """Pyro, in parallel: one image at a time, as its weights are those of all images together."""
    import pyro as library
    from pyro.infer.importance import vectorized_importance_weights

    model, x, _ = setting()
    library.set_rng_seed(0)
    joint, guide = _pyro_pair(model)
    estimates = []
    with torch.no_grad():
        for image in x[:, None]:
            log_w, _, _ = vectorized_importance_weights(
                joint, guide, image, num_samples=samples, max_plate_nesting=1, normalized=False
            )
            estimates.append(torch.logsumexp(log_w.double().flatten(), 0) - math.log(samples))
    return torch.stack(estimates)


def pyro_sequential(samples: int) -> torch.Tensor:
    """Pyro, one trace a sample."""
    import pyro as library
    from pyro.infer import Importance

    model, x, _ = setting()
    library.set_rng_seed(0)
    joint, guide = _pyro_pair(model)
    estimates = []
    with torch.no_grad():
        for image in x[:, None]:
            run = Importance(joint, guide, num_samples=samples).run(image)
            log_w = torch.stack([torch.as_tensor(w) for w in run.log_weights]).double()
            estimates.append(torch.logsumexp(log_w.flatten(), 0) - math.log(samples))
    return torch.stack(estimates)


WAYS = {way.__name__: way for way in (kexue, naive, pyro, pyro_sequential)}


def measured(way: str, samples: int) -> tuple[float, float, list[float]]:
    """Seconds, megabytes and estimates of one way, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", way, "--samples", str(samples)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes, *estimates = map(float, done.stdout.split()[-2 - IMAGES :])
    return seconds, kilobytes / 1024, estimates


def child(way: str, samples: int) -> None:
    """Warm up, run, print seconds, kilobytes and estimates."""
    WAYS[way](100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    estimates = WAYS[way](samples)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(seconds, peak, *estimates.tolist())


def main() -> None:
    """Run every way and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=100_000)
    add_options(parser)
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.samples)
        return
    samples = 200 if options.tiny else options.samples
    print(f"K = {samples:,}, {IMAGES} images of {DATA} points, {LATENT} latent numbers, one thread, float32,")
    print(f"torch {torch.__version__}\n")
    print(f"{'':18}{'seconds':>9}{'MB':>8}   log p of each image")
    rows = []
    for way in WAYS:
        few = samples // 100 if way == "pyro_sequential" else samples
        seconds, megabytes, estimates = measured(way, few)
        scale = samples / few
        note = "" if scale == 1 else f"   ({scale:g} × the time of {few:,} samples)"
        shown = "  ".join(f"{value:.3f}" for value in estimates)
        print(f"{way:18}{seconds * scale:9.2f}{megabytes:8.0f}   {shown}{note}")
        rows.append(
            {
                "way": way,
                "K": samples,
                "seconds": round(seconds * scale, 3),
                "MB": round(megabytes),
                "timed on K =": few,
            }
        )
    print(f"\nstreamed, memory over K:\n{'K':>12}{'seconds':>10}{'MB':>8}")
    for count in (1,) if options.tiny else (1, 100, 10_000, samples, 10 * samples):
        seconds, megabytes, _ = measured("kexue", count)
        print(f"{count:12,}{seconds:10.2f}{megabytes:8.0f}")
        rows.append(
            {
                "way": "kexue",
                "K": count,
                "seconds": round(seconds, 3),
                "MB": round(megabytes),
                "timed on K =": count,
            }
        )
    if options.record:
        print(f"recorded in {record('density', rows)}")


if __name__ == "__main__":
    main()
