"""Tables come in as they are at hand: arrays of any numbers, DataFrames, lists; text and truth values do not."""

import numpy as np
import pandas as pd
import pytest
import torch

from kexue.leaderboard import means, ranks, scales, scores, shapley, subsets, uncertainty, voting

TABLE = np.array([[90.0, 80.0, 70.0], [60.0, 85.0, 95.0], [50.0, 40.0, 30.0], [10.0, 20.0, 99.0]])
ROW = TABLE[0]
MASKS = subsets.subset_masks(3)[1:]
DOORS = {
    "power_mean": (means.power_mean, TABLE, (0.0,)),
    "needed_score": (means.needed_score, ROW, (0.0, 85.0)),
    "ranks": (ranks.ranks, TABLE, ()),
    "margin": (ranks.margin, TABLE, (0,)),
    "dominance": (ranks.dominance, TABLE, ()),
    "kendall_tau": (lambda x: ranks.kendall_tau(x, x), ROW, ()),
    "discordant_pairs": (lambda x: ranks.discordant_pairs(x, ROW[::-1]), ROW, ()),
    "normalise": (scales.normalise, TABLE, (0,)),
    "error_rates": (scales.error_rates, TABLE, ()),
    "logits": (lambda x: scales.logits(x, [100, 200, 300]), TABLE, ()),
    "agreement": (scales.agreement, TABLE, ()),
    "shapley_values": (shapley.shapley_values, np.arange(8.0), ()),
    "margin_shapley": (shapley.margin_shapley, TABLE, (0, 1.0)),
    "subset_means": (subsets.subset_means, TABLE, (MASKS, 1.0)),
    "phase_diagram": (subsets.phase_diagram, TABLE, (MASKS, [0.0, 1.0], 0)),
    "variance_shares": (subsets.variance_shares, TABLE, ()),
    "pairwise_support": (voting.pairwise_support, TABLE, ()),
    "borda": (voting.borda, TABLE, ()),
    "plurality": (voting.plurality, TABLE, ()),
    "dowdall": (voting.dowdall, TABLE, ()),
    "copeland": (voting.copeland, TABLE, ()),
    "condorcet_winner": (voting.condorcet_winner, TABLE, ()),
    "official_score": (
        scores.official_score,
        TABLE,
        (["a", "b", "c"], scores.OfficialRule((("a", "b"), ("c",)))),
    ),
    "rounding_draws": (
        lambda x: uncertainty.rounding_draws(x, draws=3, generator=np.random.default_rng(0)),
        TABLE,
        (),
    ),
    "sampling_draws": (
        lambda x: uncertainty.sampling_draws(x, [100, 200, 300], draws=3, generator=np.random.default_rng(0)),
        TABLE,
        (),
    ),
}
FORMS = {
    "lists": lambda x: x.tolist(),
    "whole numbers": lambda x: x.astype(int),
    "frame": lambda x: pd.DataFrame(x) if x.ndim == 2 else pd.Series(x),
    "tensor": torch.from_numpy,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("door", DOORS)
def test_a_table_in_another_form_gives_the_same(door, form):
    function, table, others = DOORS[door]
    np.testing.assert_equal(function(FORMS[form](table), *others), function(table, *others))


@pytest.mark.parametrize("door", DOORS)
def test_what_holds_no_numbers_is_refused_by_name(door):
    function, table, others = DOORS[door]
    with pytest.raises(TypeError, match=r"\w+ must hold real numbers .* got a list of <U"):
        function([["90", "80", "70"]] * 2 if table.ndim == 2 else ["90", "80", "70"], *others)
    with pytest.raises(TypeError, match=r"got a ndarray of bool"):
        function(table > 50, *others)


def test_columns_of_text_are_named():
    frame = pd.DataFrame(TABLE, columns=["a", "b", "c"]).assign(model=["w", "x", "y", "z"])
    with pytest.raises(
        TypeError, match=r"values must hold real numbers .*DataFrame with others in \['model'\]"
    ):
        means.power_mean(frame, 1.0)
    with pytest.raises(ValueError, match="values must be a table of numbers"):
        means.power_mean([[1.0, 2.0], [3.0]], 1.0)


def test_weights_may_be_a_list():
    assert means.power_mean(ROW, 1.0, weights=[1, 1, 2]) == pytest.approx(77.5)


def test_the_documented_columns_are_enough():
    board = pd.DataFrame(
        {
            "row": [1, 1, 1, 2, 2, 2],
            "model": ["a"] * 3 + ["b"] * 3,
            "task": ["t", "t", "u"] * 2,
            "metric": ["acc", "f1", "acc"] * 2,
            "score": [80.0, 90.0, 70.0, 60.0, 62.0, 50.0],
        }
    )
    assert scores.task_table(board, ["u", "t"]).to_numpy().tolist() == [[70.0, 85.0], [50.0, 61.0]]
    for lacking in board.columns:
        with pytest.raises(ValueError, match=rf"board lacks the columns \['{lacking}'\], it has"):
            scores.task_table(board.drop(columns=lacking), ["t"])
    with pytest.raises(ValueError, match="board must hold one benchmark, got"):
        scores.task_table(board.assign(benchmark=["x", "y"] * 3), ["t"])
