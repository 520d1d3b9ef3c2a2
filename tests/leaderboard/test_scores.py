"""Pairing of metrics and official rules, by hand."""

import numpy as np
import pandas as pd
import pytest

from kexue.leaderboard.scores import (
    OFFICIAL_RULES,
    TASKS,
    OfficialRule,
    metric_table,
    official_score,
    task_table,
)


def board(rows: dict[int, dict[tuple[str, str], float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "benchmark": "B",
                "snapshot": "s",
                "row": row,
                "model": f"m{row}",
                "task": t,
                "metric": m,
                "score": score,
            }
            for row, cells in rows.items()
            for (t, m), score in cells.items()
        ]
    )


tidy = board(
    {
        1: {("CB", "f1"): 90.0, ("CB", "accuracy"): 96.0, ("RTE", "accuracy"): 80.0},
        2: {("CB", "f1"): np.nan, ("CB", "accuracy"): 50.0, ("RTE", "accuracy"): 70.0},
    }
)


def test_pairs_are_averaged_first_and_never_half() -> None:
    tasks = task_table(tidy, ["RTE", "CB"])
    assert list(tasks.columns) == ["RTE", "CB"]
    assert tasks.loc[(1, "m1")].tolist() == [80.0, 93.0]
    assert np.isnan(tasks.loc[(2, "m2"), "CB"])


def test_metrics_keep_their_columns() -> None:
    metrics = metric_table(tidy, ["RTE", "CB"])
    assert [task for task, _ in metrics.columns] == ["RTE", "CB", "CB"]
    assert metrics.shape == (2, 3)


def test_same_model_name_twice_stays_two_rows() -> None:
    twice = tidy.assign(model="same")
    assert task_table(twice, ["RTE"])["RTE"].tolist() == [80.0, 70.0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (pd.concat([tidy, tidy.assign(snapshot="t")]), "one snapshot"),
        (pd.concat([tidy, tidy.assign(benchmark="C")]), "one benchmark"),
        (pd.concat([tidy, tidy]), "second scores"),
        (tidy[tidy.task != "CB"], "not on the board"),
    ],
)
def test_bad_boards_are_refused(bad: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_table(bad, ["CB"])


def test_official_score_merges_groups_before_averaging() -> None:
    rule = OfficialRule((("a",), ("b", "c")))
    table = np.array([[90.0, 60.0, 80.0], [np.nan, 1.0, 1.0]])
    scores = official_score(table, ["a", "b", "c"], rule)
    assert scores[0] == 80.0
    assert np.isnan(scores[1])
    assert official_score(table, ["c", "a", "b"], OfficialRule((("a",),)))[0] == 60.0


def test_official_score_weighs_groups() -> None:
    rule = OfficialRule((("a",), ("b",)), weights=(1.0, 3.0))
    assert official_score(np.array([[10.0, 30.0]]), ["a", "b"], rule)[0] == 25.0


def test_official_score_names_an_absent_task() -> None:
    with pytest.raises(ValueError, match=r"needs \['b'\]"):
        official_score(np.ones((1, 1)), ["a"], OfficialRule((("a",), ("b",))))


def test_diagnostics_never_count_officially() -> None:
    assert set(TASKS["GLUE"]) - set(OFFICIAL_RULES["GLUE"].tasks) == {"AX"}
    assert set(TASKS["SuperGLUE"]) - set(OFFICIAL_RULES["SuperGLUE"].tasks) == {"AX-b", "AX-g"}
    assert len(OFFICIAL_RULES["GLUE"].groups) == 9
    assert len(OFFICIAL_RULES["SuperGLUE"].groups) == 8
