"""The audit passes honest tables and flags the others."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kexue.leaderboard.audit import audit
from kexue.leaderboard.means import MEANS, power_mean

columns = dict.fromkeys(MEANS, ("a", "b", "c"))


def printed_means(table: pd.DataFrame, decimals: int = 1) -> pd.DataFrame:
    cells = table.to_numpy()
    return pd.DataFrame(
        {mean: power_mean(cells, p).round(decimals) for mean, p in MEANS.items()}, index=table.index
    )


@given(arrays(np.float64, (3, 3), elements=st.floats(20.0, 100.0)))
def test_means_of_unrounded_cells_are_never_flagged(cells: np.ndarray) -> None:
    exact = pd.DataFrame(cells, columns=["a", "b", "c"])
    report = audit(exact.round(1), printed_means(exact), columns)
    assert (report["flag"] == "").all()
    assert len(report) == 9


def test_an_inconsistent_task_set_is_flagged() -> None:
    table = pd.DataFrame({"a": [90.0, 80.0], "b": [92.0, 85.0], "c": [40.0, 50.0]}, index=["x", "y"])
    printed = printed_means(table)
    printed.loc["x", "HM"] = float(power_mean(np.array([90.0, 92.0]), -1.0).round(1))
    report = audit(table, printed, columns).set_index(["row", "mean"])
    assert report.loc[("x", "HM"), "flag"] == "differs"
    assert (report["flag"].drop([("x", "HM")]) == "").all()


def test_missing_and_negative_cells_are_undefined_not_skipped() -> None:
    table = pd.DataFrame({"a": [90.0, -3.0], "b": [np.nan, 85.0], "c": [40.0, 50.0]})
    report = audit(table, pd.DataFrame({"AM": [65.0, 44.0], "GM": [60.0, 10.0]}), columns)
    assert report["flag"].tolist() == ["undefined", "", "undefined", "undefined"]


def test_a_zero_gives_a_zero_mean() -> None:
    table = pd.DataFrame({"a": [0.0], "b": [50.0], "c": [50.0]})
    assert audit(table, pd.DataFrame({"HM": [0.0]}), columns)["flag"].tolist() == [""]


def test_what_is_not_printed_is_not_judged() -> None:
    table = pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]})
    assert audit(table, pd.DataFrame({"AM": [np.nan]}), columns).empty


def test_bad_arguments_are_named() -> None:
    table = pd.DataFrame({"a": [1.0], "b": [2.0]})
    with pytest.raises(ValueError, match="same lines"):
        audit(table, pd.DataFrame({"AM": [1.0, 2.0]}), columns)
    with pytest.raises(ValueError, match="'QM' must be one of"):
        audit(table, pd.DataFrame({"QM": [1.0]}), columns)
    with pytest.raises(ValueError, match=r"columns \['c'\]"):
        audit(table, pd.DataFrame({"AM": [1.5]}), columns)
