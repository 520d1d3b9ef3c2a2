"""Measured numbers are shown to the digits that their claim turns on."""

import pytest

from kexue.claims import Measurement, pool, read_claims
from kexue.claims.display import measured
from kexue.claims.ledger import row


def shown(expect, *values, over="exact", error=0.0):
    (claim,) = read_claims(
        f"c: {{says: S., from: F., kind: ours, registered: before, over: {over}, expect: '{expect}'}}"
    )
    runs = [Measurement("c", (value,), error) for value in values]
    return measured(row(claim, pool(claim, runs), "quick"))


@pytest.mark.parametrize(
    ("expect", "value", "text"),
    [
        ("= 1.52382 ± 0.0005", 1.5238, "1.52380"),  # four digits would hide the tolerance
        ("= 7.55245 ± 5e-6", 7.5524483, "7.5524483"),
        ("≥ 0.9999999", 0.99999995, "0.999999950"),
        ("≤ 1", 1.0000004, "1.00000040"),
        ("= 1.52382 ± 0.0005", 3.25, "3.25"),  # far outside no digit is wanted
        ("≥ 0.5", 0.875, "0.875"),
        ("≤ 1e-12", 3e-13, "3e-13"),
        ("= 0 ± 1e-10", 0.0, "0"),
        ("= 128", 128.0, "128"),
        ("≤ 0.9", 0.9 + 1.2e-16, "0.9"),  # rounding is no difference
        ("≥ 1000", 123456.0, "1.235e+05"),
    ],
)
def test_an_exact_value_shows_the_digits_of_its_tolerance(expect, value, text):
    assert shown(expect, value) == text


def test_the_ends_of_an_interval_are_told_apart():
    assert shown("≥ 0", 0.52, 0.520001, over="seeds") == "0.52000 [0.51999, 0.52001], n = 2"
    assert shown("≥ 0", 2.0, 3.0, 3.5, over="seeds") == "2.833 [0.936, 4.731], n = 3"


def test_an_error_below_the_last_digit_is_not_shown():
    assert shown("≥ 0", 0.5, error=1e-13) == "0.5"
    assert shown("≥ 0", 0.5, error=0.01) == "0.5 [0.49, 0.51]"
