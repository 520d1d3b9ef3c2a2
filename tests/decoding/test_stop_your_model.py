"""The page "Make your own model stop": its examples run, and every number on it is what the library computes."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from kexue.decoding import bounds
from kexue.decoding.processors import PostHocNMST

PAGE = (Path(__file__).parents[2] / "book" / "stop-your-model.md").read_text(encoding="utf-8")
EPSILON = bounds.epsilon_for(500)
LENGTHS = (50, 100, 200)


def row(start):
    """The cells of the one table row that begins so, as written."""
    (line,) = [line for line in PAGE.splitlines() if line.strip().startswith(f"| {start}")]
    line = re.sub(r"\$10\^\{(-\d+)\}\$", r"1e\1", line)
    return [cell.strip() for cell in line.strip().strip("|").split("|")][1:]


def rounds_to(written, value):
    """Is the value the written number, at as many digits as are written?"""
    number = float(written.replace(",", ""))
    digits = len(re.sub(r"e.*|[^0-9]", "", written).strip("0"))
    return float(f"{value:.{max(digits, 1) - 1}e}") == number


def numbers(pattern):
    """The groups of a sentence that stands on the page once."""
    (found,) = re.findall(pattern, PAGE)
    return found


def test_the_comparison_can_fail():
    assert rounds_to("6.9", 6.869)
    assert rounds_to("1e-12", 1.016e-12)
    assert not rounds_to("6.8", 6.869)
    assert not rounds_to("34,300", 34_370)


def test_what_a_text_costs():
    assert row("a text of $T$ tokens") == [str(length) for length in LENGTHS]
    costs = [bounds.likelihood_tax(np.array([length]), EPSILON) * length for length in LENGTHS]
    assert all(map(rounds_to, row("costs, at horizon 500"), costs))
    survive = [bounds.sampling_survival(length - 1, EPSILON) for length in LENGTHS]
    assert survive == pytest.approx([math.exp(-cost) for cost in costs])
    assert all(map(rounds_to, row("a sampled text gets that far"), survive))
    for length, cost, written in zip(LENGTHS, costs, row("horizon at which it costs 0.1"), strict=True):
        assert cost == pytest.approx(math.log(2) * length * (length - 1) / 1000, rel=2e-3)
        wanted = math.log(2) * length * (length - 1) / 0.2
        assert rounds_to(written, wanted)
        assert bounds.likelihood_tax(np.array([length]), bounds.epsilon_for(round(wanted))) * length == (
            pytest.approx(0.1, rel=1e-3)
        )


def test_when_samples_have_ended():
    half, most = numbers(r"at least half of all samples have ended by token (\d+) and 99 % by token (\d+)")
    for token, left in ((int(half), 0.5), (int(most), 0.01)):
        assert bounds.sampling_survival(token, EPSILON) <= left < bounds.sampling_survival(token - 1, EPSILON)
    assert int(half) == pytest.approx(math.sqrt(2 * 500), abs=1)


def test_the_limits_of_nucleus_sampling():
    masses = [float(cell.removeprefix("≤")) for cell in row("`top_p`")]
    limits = [int(cell.replace(",", "")) for cell in row("limit at horizon 500")]
    assert limits == [bounds.nucleus_limit(mass, EPSILON) for mass in masses]
    assert limits == pytest.approx([500 * math.log2(1 / (1 - mass)) for mass in masses], rel=2e-3)
    k, horizon, entry = map(int, numbers(r"for `top_k=(\d+)` at horizon (\d+), from token (\d+) on"))
    assert entry == bounds.top_k_entry(k, bounds.epsilon_for(horizon))


def test_what_a_temperature_leaves():
    words, before, after, heat = numbers(
        r"Against ([\d,]+) equally likely words, an `<eos>` at ([\d.]+) is left with ([\d.]+) at temperature ([\d.]+\d)"
    )
    law = torch.full((int(words.replace(",", "")) + 1,), -math.inf, dtype=torch.float64)
    law[1:], law[0] = math.log((1 - float(before)) / (len(law) - 1)), math.log(float(before))
    assert rounds_to(after, float((law / float(heat)).softmax(0)[0]))


def test_its_examples_run():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=41,
        n_positions=600,
        n_embd=8,
        n_layer=1,
        n_head=1,
        bos_token_id=0,
        eos_token_id=[40, 7],
        pad_token_id=1,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    tokens = torch.randint(8, 40, (2, 5))
    inputs = transformers.BatchEncoding({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    names = {"model": model, "inputs": inputs, "lengths": np.array(LENGTHS)}
    examples = re.findall(r"^( *)```python\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(examples) == 4
    for indent, example in examples:
        exec(re.sub(f"^{indent}", "", example, flags=re.MULTILINE), names)
    assert isinstance(names["stop"], PostHocNMST)
    assert names["stop"].ends == [40, 7]
