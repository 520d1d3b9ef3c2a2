import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kexue.embedding import annealed, codebook, retrieval

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def draw(size, n, seed, dtype=torch.float64, beta=1.0, device="cpu"):
    source = torch.Generator(device).manual_seed(seed)
    return tuple(
        codebook.sphere_codebook(size, n, norm_product=beta, generator=source, dtype=dtype) for _ in range(2)
    )


def direct(p):
    return float(-torch.special.xlogy(p, p).sum())


@pytest.mark.parametrize("device", DEVICES)
@given(st.integers(1, 40), st.integers(2, 30), st.integers(0, 99), st.integers(1, 200))
def test_exact_entropy(device, size, n, seed, block):
    u, v = draw(size, n, seed, device=device)
    found = codebook.softmax_entropy(u, v, block=block)
    logits = u @ v.T
    assert found.joint == pytest.approx(direct(logits.flatten().softmax(0)), abs=1e-10)
    assert found.largest == pytest.approx(float(logits.max()))
    for row, entropy in zip(logits.softmax(1), found.rows, strict=True):
        assert float(entropy) == pytest.approx(direct(row), abs=1e-10)
    assert found.joint + 1e-12 >= 0
    assert found.joint <= 2 * math.log(size) + 1e-12


@given(st.integers(0, 99))
def test_rotation_changes_nothing(seed):
    u, v = draw(30, 6, seed)
    rotation = torch.linalg.qr(
        torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )[0]
    turned = codebook.softmax_entropy(u @ rotation, v @ rotation)
    assert turned.joint == pytest.approx(codebook.softmax_entropy(u, v).joint, abs=1e-9)


def test_zero_vectors_are_uniform():
    zero = torch.zeros(7, 3)
    assert codebook.softmax_entropy(zero, zero).joint == pytest.approx(2 * math.log(7))
    assert codebook.softmax_entropy(zero, zero[:5]).rows == pytest.approx([math.log(5)] * 7)


def test_huge_logits_do_not_overflow():
    u = torch.eye(3) * 1e4
    assert codebook.softmax_entropy(u, u).joint == pytest.approx(math.log(3))


@pytest.mark.parametrize("n", [8, 24, 64])
def test_float32_agrees_with_float64(n):
    u, v = draw(500, n, 1)
    single = codebook.softmax_entropy(u.float(), v.float())
    assert single.joint == pytest.approx(codebook.softmax_entropy(u, v).joint, abs=1e-4)


def test_formula_holds_below_the_threshold():
    u, v = draw(1_000, 16, 0)
    assert codebook.softmax_entropy(u, v).joint == pytest.approx(
        annealed.annealed_entropy(16, 1_000), abs=0.1
    )


def test_entropy_stays_positive_where_the_formula_does_not():
    u, v = draw(1_000, 96, 0)
    assert annealed.annealed_entropy(96, 1_000) < -9
    assert codebook.softmax_entropy(u, v).joint > 0


@pytest.mark.parametrize("device", DEVICES)
def test_codes_lie_on_the_sphere(device):
    u, _ = draw(50, 9, 2, beta=0.25, device=device)
    assert u.norm(dim=1).cpu() == pytest.approx([math.sqrt(0.25 * 9)] * 50)
    assert u.device.type == device


def test_no_square_memory():
    """20,000 words have 1.6 GB of logits; the entropy is had in a tenth of that."""
    program = """
import resource, torch
from kexue.embedding import codebook
torch.set_num_threads(1)
source = torch.Generator().manual_seed(0)
u, v = (codebook.sphere_codebook(20_000, 8, generator=source) for _ in range(2))
codebook.softmax_entropy(u[:200], v[:200])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codebook.softmax_entropy(u, v)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    # Once in some seven processes glibc keeps every block that was freed (4.9 GB; 65 to 82 MB otherwise): with a fixed threshold
    # it gives them back, and what is seen is what the function itself holds.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 160e6


@given(st.integers(2, 40), st.integers(0, 99), st.integers(1, 300), st.floats(-0.5, 0.9))
def test_close_pairs(size, seed, block, cosine):
    u, v = draw(size, 5, seed, beta=2.0)
    expected = int((u @ v.T / 10 >= cosine).sum())
    assert codebook.close_pairs(u, v, cosine, block=block) == expected


@given(st.integers(2, 40), st.integers(0, 99), st.integers(1, 300))
def test_self_probability(size, seed, block):
    u, _ = draw(size, 5, seed)
    expected = (u @ u.T).softmax(1).diagonal()
    assert retrieval.self_probability(u, block=block) == pytest.approx(expected.tolist())


def test_retrieval_threshold():
    assert retrieval.retrieval_coefficient() == pytest.approx(1.606, abs=5e-4)
    n = retrieval.retrieval_dimension(3_000)
    assert n == pytest.approx(12.99, abs=0.01)
    assert n == pytest.approx(math.log(2_999) + annealed.log_mean_exp(n))
    low, high = (retrieval.self_probability(draw(1_000, n, 0)[0]).mean() for n in (9, 14))
    assert low < 0.5 < high


def test_refuses():
    source = torch.Generator()
    with pytest.raises(ValueError, match="count must be a finite number ≥ 1, got 0"):
        codebook.sphere_codebook(0, 3, generator=source)
    with pytest.raises(ValueError, match="n must be a finite number ≥ 2, got 1"):
        codebook.sphere_codebook(3, 1, generator=source)
    with pytest.raises(ValueError, match="norm_product"):
        codebook.sphere_codebook(3, 3, norm_product=-1.0, generator=source)
    good, bad = torch.ones(3, 2), torch.full((3, 2), math.nan)
    with pytest.raises(ValueError, match=r"contexts must be finite and not empty, got shape \(3, 2\)"):
        codebook.softmax_entropy(good, bad)
    with pytest.raises(ValueError, match="centres must be finite and not empty"):
        codebook.softmax_entropy(good[:0], good)
    with pytest.raises(ValueError, match="block"):
        codebook.softmax_entropy(good, good, block=0)
    with pytest.raises(ValueError, match="cosine"):
        codebook.close_pairs(good, good, math.nan)
    with pytest.raises(ValueError, match="codes must be finite and not empty"):
        retrieval.self_probability(bad)
    with pytest.raises(ValueError, match="vocabulary must be a finite number ≥ 20"):
        retrieval.retrieval_dimension(10)
