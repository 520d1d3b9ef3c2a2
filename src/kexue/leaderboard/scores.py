"""From a tidy board to a table of tasks: a task's metrics are averaged first; official scores by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from kexue.arrays import Numbers, array

OFFICIAL = "OFFICIAL"
"""The task name under which a tidy board keeps the score it prints."""


@dataclass(frozen=True)
class OfficialRule:
    """How a board averages: the weighted arithmetic mean over groups of tasks, each group averaged first.

    Args:
        groups: the tasks of each group.
        weights: one positive weight a group; equal if not given.
    """

    groups: tuple[tuple[str, ...], ...]
    weights: tuple[float, ...] | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that count, in order."""
        return tuple(task for group in self.groups for task in group)


def _single(tasks: str) -> tuple[tuple[str, ...], ...]:
    return tuple((task,) for task in tasks.split())


OFFICIAL_RULES: Mapping[str, OfficialRule] = {
    "GLUE": OfficialRule(
        (*_single("CoLA SST-2 MRPC STS-B QQP"), ("MNLI-m", "MNLI-mm"), *_single("QNLI RTE WNLI"))
    ),
    "SuperGLUE": OfficialRule(_single("BoolQ CB COPA MultiRC ReCoRD RTE WiC WSC")),
    "XTREME": OfficialRule(
        (
            ("Sentence-pair Classification",),
            ("Structured Prediction",),
            ("Question Answering",),
            ("Sentence Retrieval",),
        ),
        weights=(2.0, 2.0, 3.0, 2.0),
    ),
    "XGLUE-Understanding": OfficialRule(_single("NER POS NC MLQA XNLI PAWS-X QADSM WPR QAM")),
}
"""The rule of each board; diagnostics (AX, AX-b, AX-g) never count, XTREME categories weigh their tasks.

Source: the GLUE, SuperGLUE, XTREME and XGLUE papers; checked against every printed score in the chapter.
"""

TASKS: Mapping[str, tuple[str, ...]] = {
    "GLUE": (*OFFICIAL_RULES["GLUE"].tasks, "AX"),
    "SuperGLUE": (*OFFICIAL_RULES["SuperGLUE"].tasks, "AX-b", "AX-g"),
    "XTREME": OFFICIAL_RULES["XTREME"].tasks,
    "XGLUE-Understanding": OFFICIAL_RULES["XGLUE-Understanding"].tasks,
}
"""The columns of each board in display order, diagnostics last."""


def metric_table(board: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Turn one snapshot of a tidy board into a table of metrics, before any pairing.

    Args:
        board: tidy scores of one board and one snapshot: columns row, model, task, metric, score; where it has the columns
            benchmark and snapshot, they must say so.
        tasks: the tasks wanted, in order.

    Returns:
        One line a (row, model), one column a (task, metric), in the order of ``tasks``; NaN for a dash.

    Raises:
        ValueError: a column that is not there, more than one board or snapshot, a task that is not there, or two scores
            for one cell.
    """
    lacking = [
        column for column in ("row", "model", "task", "metric", "score") if column not in board.columns
    ]
    if lacking:
        raise ValueError(f"board lacks the columns {lacking}, it has {list(board.columns)}")
    for column in ("benchmark", "snapshot"):
        if column in board.columns and board[column].nunique() != 1:
            raise ValueError(
                f"board must hold one {column}, got {sorted(board[column].unique())}; filter it first"
            )
    absent = [task for task in tasks if task not in set(board["task"])]
    if absent:
        raise ValueError(f"tasks {absent} are not on the board, which has {sorted(board['task'].unique())}")
    chosen = board[board["task"].isin(list(tasks))]
    doubled = chosen[chosen.duplicated(["row", "task", "metric"])]
    if len(doubled):
        cell = doubled.iloc[0][["row", "task", "metric"]].tolist()
        raise ValueError(f"board has {len(doubled)} second scores for a cell, the first at {cell}")
    wide = chosen.pivot(index=["row", "model"], columns=["task", "metric"], values="score")
    order = [column for task in tasks for column in wide.columns if column[0] == task]
    return wide[order]


def task_table(board: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Average the metrics of each task first, as the boards do, so that every task weighs the same.

    Args:
        board: tidy scores of one board and one snapshot: columns row, model, task, metric, score; where it has the columns
            benchmark and snapshot, they must say so.
        tasks: the tasks wanted, in order.

    Returns:
        One line a (row, model), one column a task; NaN where any metric of the task is missing.

    Raises:
        ValueError: as ``metric_table``.
    """
    metrics = metric_table(board, tasks)
    return pd.DataFrame({task: metrics[task].mean(axis=1, skipna=False) for task in tasks})


def official_score(
    table: Float64[np.ndarray, "rows tasks"] | Numbers, tasks: Sequence[str], rule: OfficialRule
) -> Float64[np.ndarray, " rows"]:
    """Recompute the score a board prints.

    Args:
        table: task scores, shape (rows, tasks); NaN marks a missing cell.
        tasks: the name of each column.
        rule: the groups of tasks and their weights.

    Returns:
        Scores before rounding, shape (rows,); NaN where a cell of the rule is missing.

    Raises:
        ValueError: a task of the rule has no column.
    """
    table = array("table", table)
    names = list(tasks)
    absent = [task for task in rule.tasks if task not in names]
    if absent:
        raise ValueError(f"the rule needs {absent}, the table has {names}")
    columns = [table[:, [names.index(task) for task in group]].mean(axis=1) for group in rule.groups]
    weights = np.asarray(rule.weights if rule.weights is not None else np.ones(len(rule.groups)))
    return np.asarray(np.stack(columns, axis=1) @ weights / weights.sum())
