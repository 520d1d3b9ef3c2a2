"""Declaring, sealing, measuring, judging."""

import numpy as np
import pytest

from kexue.claims import (
    Claim,
    ClaimError,
    Ledger,
    Measurement,
    declare,
    ledger,
    pool,
    read_expectation,
    verdict_of,
)


def claim(id="c", expect="= 1 ± 0.5", over="exact", **fields):
    return Claim(
        id=id,
        statement="S.",
        source="paper, table 1",
        kind="paper",
        expect=read_expectation(expect),
        over=over,
        **fields,
    )


def text(*ids, expect="= 1 ± 0.5", over="exact"):
    head = f"defaults: {{from: paper, kind: paper, registered: before, over: {over}}}\n"
    return head + "".join(f"{id}: {{says: S., expect: '{expect}'}}\n" for id in ids)


@pytest.fixture(autouse=True)
def _new_session():
    ledger.reset()


def verdict(claim, *values, profile="quick", **fields):
    return verdict_of(claim, pool(claim, [Measurement("c", tuple(v), **fields) for v in values]), profile)


def test_all_inside_all_outside_neither():
    seeds = claim(expect="in [0, 10]", over="seeds")
    assert verdict(seeds, [4.0], [5.0], [6.0]) == "reproduced"
    assert verdict(seeds, [24.0], [25.0], [26.0]) == "refuted"
    assert verdict(seeds, [9.0], [10.0], [12.0]) == "inconclusive"


def test_one_lucky_seed_is_inconclusive():
    assert verdict(claim(over="seeds"), [1.0]) == "inconclusive"


def test_an_exact_value_stands_on_its_numerical_error():
    exact = claim(expect="≤ 1")
    assert verdict(exact, [0.9]) == "reproduced"
    assert verdict(exact, [1.0]) == "reproduced"
    assert verdict(exact, [0.9], error=0.2) == "inconclusive"
    assert verdict(exact, [1.3], error=0.2) == "refuted"


def test_exact_values_that_disagree_between_runs_pool_to_their_hull():
    assert pool(claim(), [Measurement("c", (1.0,)), Measurement("c", (2.0,), 0.1)]).interval == (1.0, 2.1)


def test_outcomes_pool_to_a_share_with_wilsons_interval():
    draws = claim(expect="≥ 0.9", over="draws")
    pooled = pool(
        draws, [Measurement("c", (1.0,) * 50, binary=True), Measurement("c", (1.0,) * 50, binary=True)]
    )
    assert pooled.n == 100
    assert pooled.interval == pytest.approx((0.9630, 1.0), abs=1e-4)


def test_the_same_examples_under_two_seeds_are_not_twice_as_many():
    examples = claim(over="examples")
    one = pool(examples, [Measurement("c", (0.0, 1.0, 2.0))])
    two = pool(examples, [Measurement("c", (0.0, 1.0, 2.0)), Measurement("c", (0.0, 1.0, 2.0))])
    assert (one.n, one.interval) == (two.n, two.interval)
    with pytest.raises(ValueError, match="same examples in every run"):
        pool(examples, [Measurement("c", (0.0, 1.0)), Measurement("c", (0.0,))])


def test_below_its_scale_a_claim_is_untested():
    full = claim(scale="full")
    assert verdict(full, [1.0], profile="quick") == "untested"
    assert verdict(full, [1.0], profile="full") == "reproduced"
    assert verdict(full, profile="full") == "untested"


def test_a_claim_declared_and_never_measured_is_untested_not_dropped():
    claims = declare(text("a", "b"), profile="quick", seed=0)
    claims.measure("a", 1.0)
    assert [claims.row(id)["verdict"] for id in claims.claims] == ["reproduced", "untested"]


def test_the_first_measurement_seals():
    claims = declare(text("a"), profile="quick", seed=0)
    declare(text("a", "b"), profile="quick", seed=0)  # nothing measured yet
    ledger.reset()
    claims = declare(text("a"), profile="quick", seed=0)
    claims.measure("a", 1.0)
    with pytest.raises(ClaimError, match="sealed by the first measurement"):
        declare(text("a", "b"), profile="quick", seed=0)
    assert not declare(text("a"), profile="quick", seed=0).measurements  # the notebook run again


@pytest.mark.parametrize(
    ("value", "fields", "message"),
    [
        (float("nan"), {}, "must be finite"),
        (float("inf"), {}, "must be finite"),
        ([1.0, 2.0], {}, "must be one number"),
        ("1", {}, "must be real numbers"),
        (1.0, {"unit": "nat"}, "unit of claim 'c' must be '1', got 'nat'"),
        (1.0, {"error": -1.0}, "error of claim 'c' must be finite and ≥ 0"),
        (1.0, {"error": float("nan")}, "error of claim 'c' must be finite"),
    ],
)
def test_a_bad_measurement_is_refused_by_name(value, fields, message):
    with pytest.raises(ClaimError, match=message):
        declare(text("c"), profile="quick", seed=0).measure("c", value, **fields)


def test_draws_want_an_array_and_no_error():
    claims = declare(text("c", over="draws"), profile="quick", seed=0)
    with pytest.raises(ClaimError, match="non-empty 1-D array"):
        claims.measure("c", 1.0)
    with pytest.raises(ClaimError, match="non-empty 1-D array"):
        claims.measure("c", np.array([]))
    with pytest.raises(ClaimError, match="must be finite"):
        claims.measure("c", [0.0, np.nan])
    with pytest.raises(ClaimError, match="error of claim 'c' has no place"):
        claims.measure("c", [0.0, 1.0], error=0.1)


def test_unknown_and_second_measurements_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "kexue.claims.ledger.interactive", lambda: False
    )  # another test may have made a shell
    claims = declare(text("c"), profile="quick", seed=0)
    with pytest.raises(ClaimError, match="'d' is not declared"):
        claims.measure("d", 1.0)
    claims.measure("c", 1.0)
    with pytest.raises(ClaimError, match="measured already"):
        claims.measure("c", 1.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "Not Kebab"}, "kebab-case"),
        ({"over": "runs"}, "over must be one of"),
        ({"scale": "huge"}, "scale must be one of"),
        ({"registered": "changed"}, "registered must be before, or after-pilot: or changed:"),
        ({"interval": "normal"}, "interval must be one of"),
        ({"unit": " "}, "unit of claim 'c' must not be empty"),
    ],
)
def test_a_bad_claim_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        claim(**fields)


@pytest.mark.parametrize(
    ("claims", "fields", "message"),
    [
        ([claim(), claim()], {}, "declared twice"),
        ([], {}, "at least one Claim"),
        ([claim()], {"profile": "huge"}, "profile must be one of"),
        ([claim()], {"seed": -1}, "seed must be an integer"),
        ([claim()], {"seed": True}, "seed must be an integer"),
    ],
)
def test_a_bad_ledger_is_refused_by_name(claims, fields, message):
    with pytest.raises(ClaimError, match=message):
        Ledger(claims, **{"profile": "quick", "seed": 0, **fields})


def test_records_come_back_as_they_went():
    measured = Measurement("c", (1.0, 2.0), 0.0, True)
    assert Measurement.from_record(measured.record()) == measured


def test_a_second_seed_adds_no_example():
    outcomes = claim(expect="≥ 0.9", over="examples")
    one = pool(outcomes, [Measurement("c", (1.0,) * 5, binary=True)])
    two = pool(outcomes, [Measurement("c", (1.0,) * 5, binary=True)] * 2)
    assert one.interval == two.interval
    assert verdict_of(outcomes, two, "quick") == "inconclusive"


def test_few_replicates_are_not_bootstrapped():
    values = [Measurement("c", (v,)) for v in (1.0, 2.0, 4.0)]
    assert pool(claim(over="seeds", interval="bca"), values) == pool(claim(over="seeds"), values)


def test_the_seal_has_no_way_round():
    first = declare(text("a"), profile="quick", seed=0)
    second = declare(text("b"), profile="quick", seed=0)
    with pytest.raises(ClaimError, match="other claims were declared since"):
        first.measure("a", 1.0)
    second.measure("b", 1.0)
    with pytest.raises(TypeError):
        second.claims["late"] = claim("late")


def test_ragged_values_and_errors_that_are_none_are_refused_by_name():
    claims = declare(text("c", over="draws"), profile="quick", seed=0)
    with pytest.raises(ClaimError, match="value of claim 'c'"):
        claims.measure("c", [[1.0], [1.0, 2.0]])


def test_outcomes_and_numbers_of_one_claim_are_not_mixed():
    outcomes = Measurement("c", (1.0, 0.0), binary=True)
    numbers = Measurement("c", (1.0, 0.0))
    for over in ("draws", "examples"):
        for pair in ([outcomes, numbers], [numbers, outcomes]):
            with pytest.raises(
                ValueError, match=r"claim 'c' must all be outcomes .* or all be numbers, got both"
            ):
                pool(claim(over=over), pair)


def test_zeros_and_ones_are_numbers_and_booleans_outcomes():
    claims = declare(text("c", over="draws"), profile="quick", seed=0)
    claims.measure("c", [1, 1, 1, 0])
    low, high = claims.row("c")["interval"]
    assert high > 1
    claims = declare(text("c", over="draws"), profile="quick", seed=0)
    claims.measure("c", [True, True, True, False])
    low, high = claims.row("c")["interval"]
    assert 0 <= low < high <= 1


def test_a_mean_on_the_edge_of_its_tolerance_is_reproduced():
    assert verdict(claim(expect="= 0.8 ± 0.1"), [0.7]) == "reproduced"
    assert verdict(claim(expect="= 0.8 ± 0.1"), [0.9]) == "reproduced"


def test_a_strict_bound_is_not_met_by_what_touches_it():
    assert verdict(claim(expect="> 0"), [0.0]) == "refuted"
    assert verdict(claim(expect="> 0"), [1.0], error=1.0) == "inconclusive"
    assert verdict(claim(expect="≥ 0"), [1.0], error=1.0) == "reproduced"


def test_a_cell_run_again_in_a_notebook_replaces_its_measurement(monkeypatch):
    claims = declare(text("a", "b"), profile="quick", seed=0)
    claims.measure("a", 9.0)
    claims.measure("b", 1.0)
    monkeypatch.setattr(ledger, "interactive", lambda: True)
    claims.measure("a", 1.0)
    assert claims.row("a")["verdict"] == "reproduced"
    assert claims.row("a")["n"] == 1
    assert list(claims.measurements) == ["a", "b"]
