"""Counting needles that were found."""

from __future__ import annotations

from omni.evaluation.needle import NeedleTable, Trial

TABLE = NeedleTable(
    (
        Trial(1024, 0.0, "7421", " 7421\n"),
        Trial(1024, 1.0, "7421", "7412"),
        Trial(1024, 1.0, "seven", "Seven"),
        Trial(256, 0.0, "seven", ""),
    )
)


def test_answers_are_exact_up_to_case_and_white_space() -> None:
    assert [trial.found for trial in TABLE.trials] == [True, False, True, False]


def test_needles_are_counted_by_length_and_depth() -> None:
    assert TABLE.lengths == [256, 1024]
    assert TABLE.depths == [0.0, 1.0]
    assert (TABLE.cell(1024).found, TABLE.cell(1024).trials) == (2, 3)
    assert (TABLE.cell(1024, 1.0).found, TABLE.cell(1024, 1.0).trials) == (1, 2)
    assert TABLE.cell(1024, 1.0).share == 0.5
    low, high = TABLE.cell(1024, 1.0).interval
    assert 0 < low < 0.5 < high < 1


def test_figures_name_lengths_depths_and_answers() -> None:
    short, long = TABLE.figures()["lengths"]
    assert (short["length"], short["found"], short["needles"], short["depths"]) == (256, 0.0, 1, {"0": 0.0})
    assert (long["found"], long["depths"]) == (2 / 3, {"0": 1.0, "1": 0.5})
    assert TABLE.figures()["answers"][1] == {
        "length": 1024,
        "depth": 1.0,
        "expected": "7421",
        "answer": "7412",
    }
