"""A file that decodes to the same images, as long as the bound says."""

import math

import numpy as np
import pytest
import torch

from kexue.density import bitsback
from kexue.density.likelihoods import Bernoulli, LogisticMixture
from kexue.density.nvae import sampling
from tests.density.nvae.small import images, vae


@pytest.mark.parametrize("likelihood", [Bernoulli(), LogisticMixture(2, 16)])
def test_round_trip_and_length(tmp_path, likelihood):
    model = vae(likelihood=likelihood).eval()
    levels = likelihood.levels
    x = (images(60) * (levels - 1)).round() / (levels - 1)
    path = tmp_path / "images.bin"
    coded = bitsback.compress(model, x, path, seed=3, loan=4_096, batch=20)
    back, loan = bitsback.decompress(model, path, images=60, shape=(1, 8, 8), batch=20)
    assert torch.equal((back * (levels - 1)).round(), (x * (levels - 1)).round())
    lent = np.random.default_rng(3).integers(0, 2**32, 4_096, dtype=np.uint32)
    assert np.array_equal(loan[:-1], lent[:-1])
    assert coded.file == 8 * path.stat().st_size
    bound = sampling.negative_elbo(model, x, generator=torch.Generator().manual_seed(0), passes=5)
    assert coded.net / (float(bound.sum()) / math.log(2)) == pytest.approx(1, abs=0.01)
    assert 0 < coded.used < coded.loan


def test_the_loan_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(ValueError, match="loan must outlast"):
        bitsback.compress(vae().eval(), images(20).round(), tmp_path / "x", seed=0, loan=8, batch=20)


def test_training_mode_and_flows_are_refused(tmp_path):
    for model in (vae().train(), vae(flows=1).eval()):
        with pytest.raises(ValueError, match="evaluation mode and without flows"):
            bitsback.compress(model, images(2).round(), tmp_path / "x", seed=0)


def test_a_table_that_sums_to_more_than_one_makes_a_longer_file(tmp_path):
    x = torch.full((200, 1, 4, 4), 1.0)
    parameters = torch.tensor([0.0, 1.1, -3.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    lengths, reports = {}, {}
    for edge in ("exact", "released"):
        mixture = LogisticMixture(1, 256, edge=edge)
        lengths[edge] = bitsback.write_levels(x, mixture.table(parameters), tmp_path / edge)
        reports[edge] = -float(mixture.log_prob(parameters, x[:1])) * 200 / math.log(2)
    assert lengths["exact"] == pytest.approx(reports["exact"], rel=0.05, abs=64)
    assert lengths["released"] > reports["released"] + 1_000
