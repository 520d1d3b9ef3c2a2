"""Expectations: what is read, what is inside, what is outside."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexue.claims import read_expectation

NUMBERS = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("text", "low", "high", "shown"),
    [
        ("≥ 2", 2, None, "≥ 2"),
        (">= 1e-3", 0.001, None, "≥ 1e-3"),
        ("<= -0.5", None, -0.5, "≤ -0.5"),
        ("> 0", 0, None, "> 0"),
        ("<1", None, 1, "< 1"),
        ("= 3", 3, 3, "= 3"),
        ("= 0.8 ± 0.1", 0.7, 0.9, "= 0.8 ± 0.1"),
        ("= 0.8 +- 0.1", 0.7, 0.9, "= 0.8 ± 0.1"),
        ("= 0.2 ± 0.1", 0.1, 0.3, "= 0.2 ± 0.1"),
        ("in [1, 2.5]", 1, 2.5, "in [1, 2.5]"),
        ("≥ 0.9999999", 0.9999999, None, "≥ 0.9999999"),
    ],
)
def test_a_text_is_read_to_the_last_bit(text, low, high, shown):
    found = read_expectation(text)
    assert (found.low, found.high, found.text) == (low, high, shown)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about 2", "must be one of ≥ 2, ≤ 0"),
        ("≥ x", "needs finite numbers such as 0.5 or 1e-3, got 'x'"),
        ("≤ inf", "needs finite numbers"),
        ("= 1 ± nan", "needs finite numbers"),
        ("= 0 ± -1", "the tolerance must be ≥ 0, got -1"),
        ("in [2, 1]", "the lower edge must not exceed the upper one"),
        ("", "must be one of"),
    ],
)
def test_what_is_no_expectation_is_refused_by_name(text, message):
    with pytest.raises(ValueError, match=message):
        read_expectation(text)


def test_a_strict_edge_is_outside():
    above, below = read_expectation("> 0"), read_expectation("< 1")
    assert not above.contains(0.0, 1.0)
    assert above.contains(math.ulp(0.0), 1.0)
    assert above.excludes(-1.0, 0.0)
    assert not above.excludes(-1.0, math.ulp(0.0))
    assert below.excludes(1.0, 2.0)
    assert not below.contains(0.0, 1.0)
    assert not read_expectation("≥ 0").excludes(-1.0, 0.0)


@given(NUMBERS)
def test_a_bound_is_what_python_reads(value):
    assert read_expectation(f"≥ {value!r}").low == value
    assert read_expectation(f"= {value!r}").high == value


@given(
    st.one_of(
        st.builds("{} {!r}".format, st.sampled_from("≥≤<>"), NUMBERS),
        st.builds("= {!r} ± {!r}".format, NUMBERS, st.floats(0, 1e6)),
    ),
    NUMBERS,
    st.floats(0, 1e6),
)
def test_no_interval_is_both_inside_and_outside(text, low, width):
    expectation = read_expectation(text)
    assert not (expectation.contains(low, low + width) and expectation.excludes(low, low + width))


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(0, 6))
def test_the_edges_of_a_tolerance_contain_what_python_reads_there(target, tolerance, places):
    def written(units):
        sign, digits = "-" * (units < 0), f"{abs(units):0{places + 1}d}"
        return f"{sign}{digits[: len(digits) - places]}.{digits[len(digits) - places :]}"

    expectation = read_expectation(f"= {written(target)} ± {written(tolerance)}")
    for edge in (target - tolerance, target + tolerance):
        value = float(written(edge))
        assert expectation.contains(value, value)
