"""The interval picture puts every value where it belongs, for every kind of expectation."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from kexue.claims import VERDICTS
from kexue.press.sphinx_ext.chart import interval_picture
from kexue.press.sphinx_ext.chart import shapes as drawn
from kexue.press.sphinx_ext.rendering import in_figures, macro, template

NUMBER = st.floats(-1e9, 1e9, allow_nan=False)
BOUND = st.none() | NUMBER


def row(
    mean: float | None, interval: list[float] | None, low: float | None, high: float | None
) -> dict[str, Any]:
    return {
        "id": "a-claim",
        "statement": "<b>bold</b> & brave",
        "statement_zh": "大胆",
        "source": "table <1>",
        "quantity": "ratio",
        "mean": mean,
        "interval": interval,
        "expect_low": low,
        "expect_high": high,
        "expect": "< &",
        "unit": "1",
        "over": "seeds",
        "n": 0 if mean is None else 3,
        "verdict": "inconclusive",
        "stale": False,
    }


def numbers(pattern: str, svg: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, svg)]


@example(mean=0.0, below=0.0, above=2.2250738585e-313, low=None, high=None)
@given(mean=NUMBER, below=st.floats(0, 1e9), above=st.floats(0, 1e9), low=BOUND, high=BOUND)
def test_everything_drawn_lies_inside_the_picture_and_in_order(
    mean: float, below: float, above: float, low: float | None, high: float | None
) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    svg = interval_picture(row(mean, [mean - below, mean + above], low, high))
    (dot,) = numbers(r'cx="([-\d.e+]+)"', svg)
    (band, width) = numbers(r'(?:class="kx-band" x|width)="([-\d.e+]+)"', svg)
    assert 0 <= dot <= 240
    assert -2 <= band <= band + width <= 242
    for x in numbers(r'class="kx-interval" d="M([-\d.e+]+)', svg):
        assert 0 <= x <= dot
    if low is not None and mean < low - 1e-3 * (abs(low) + abs(mean) + below + above):
        assert dot <= band + 2


def test_a_value_on_the_right_side_of_a_bound_is_drawn_in_the_band() -> None:
    svg = interval_picture(row(3.0, [2.5, 3.5], 2.0, None))
    (dot,) = numbers(r'cx="([\d.]+)"', svg)
    (band,) = numbers(r'class="kx-band" x="([\d.]+)"', svg)
    assert dot > band
    assert svg.count("kx-edge") == 1


def test_nothing_measured_draws_nothing() -> None:
    assert interval_picture(row(None, None, 0.0, None)) == ""


def test_one_replicate_is_a_dot_without_an_interval() -> None:
    svg = interval_picture(row(1.0, None, 0.0, 2.0))
    assert "kx-interval" not in svg
    assert "kx-mean" in svg


def test_the_picture_is_told_in_words() -> None:
    label = re.search(r'aria-label="([^"]*)"', interval_picture(row(1.0, [0.5, 1.5], 1.0, None)))
    assert label
    assert label[1] == "Measured 1 [0.5, 1.5], n = 3; not decided against the expected values &lt; &amp;."


def test_text_of_a_claim_is_escaped() -> None:
    html = template("measurement").render(row=row(1.0, [0.5, 1.5], 1.0, None))
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; brave" in html
    assert "table &lt;1&gt;" in html


def test_a_chip_tells_the_verdict_by_word_and_by_shape() -> None:
    shapes = set()
    for verdict in VERDICTS:
        assert f">{verdict}</span>" in macro("chip", verdict)
        assert macro("chip", verdict, href="#x").startswith('<a href="#x"')
        assert f'<use href="#kx-{verdict}"/>' in macro("chip", verdict)
        shapes.add(drawn().split(f'id="kx-{verdict}"')[1].split("</symbol>")[0])
    assert len(shapes) == len(VERDICTS)


def test_a_bar_says_only_what_there_is() -> None:
    html = macro("bar", [{**row(1.0, None, None, None), "verdict": "refuted"}])
    assert '1 <span class="kx-if-en">refuted</span>' in html
    assert "reproduced" not in html


def test_an_empty_table_says_so() -> None:
    html = macro("table", "Data sets", (), ())
    assert html.startswith('<p class="kx-none">')
    assert "Data sets: none yet." in html
    assert "数据集：暂无。" in html


def test_the_few_words_of_a_measurement_are_said_in_both_languages() -> None:
    some = {**row(1.0, None, None, None), "seeds": [0, 1], "seeds_wanted": 3}
    assert "（3 个种子中的 2 个）" in in_figures(some)
    assert "(2 of 3 seeds)" in in_figures(some)
    assert "无区间" in in_figures(some)
    assert "未测" in in_figures(row(None, None, 0.0, None))
    assert in_figures(row(1.0, [0.5, 1.5], 1.0, None)) == "1 [0.5, 1.5], n = 3"
