"""What each held-out example adds to a figure: the figure is the sum of the parts over the sum of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.ablation.outcomes import read_outcomes
from omni.cli.eval_examples import ExampleRow, mark_rows, tally_rows, write_examples
from omni.evaluation.judges.verdict import NOTHING
from omni.evaluation.metrics.tally import Tally
from omni.evaluation.results import Example

KEYS = ["a", "b", "c"]


@pytest.mark.parametrize(
    "tally",
    [
        Tally.of("x_text_loss", "mean", {0: (2.0, 4), 2: (1.0, 1)}),
        Tally.of("x_exact", "share", {0: (True,), 1: (False,), 2: (True,)}),
        Tally.of("x_wer", "wer", {0: ("one two", "one three"), 1: ("four", "four")}),
    ],
    ids=lambda tally: tally.metric,
)
def test_parts_and_weights_make_the_figure(tally: Tally) -> None:
    rows = tally_rows([tally], KEYS)
    assert [row.key for row in rows] == [KEYS[number] for number in tally.numbers]
    assert sum(row.part for row in rows) / sum(row.weight for row in rows) == pytest.approx(tally.value)


def test_figures_that_are_no_ratio_are_left_out() -> None:
    assert tally_rows([Tally.of("x_chrf", "chrf", {0: ("one", "one")})], KEYS) == []


def test_what_judges_said_is_named_as_omni_eval_names_it() -> None:
    def example(source: str, **right: bool) -> Example:
        return Example("k", source, (), (), None, None, dict.fromkeys(right, NOTHING), right, None)  # type: ignore[arg-type]

    rows = mark_rows(
        [example("text_to_audio", speech=True, sphinx=False), example("own", digits=True, exact=True)]
    )
    assert rows == [
        ExampleRow("text_to_audio_judged", "k", 1.0, 1.0),
        ExampleRow("text_to_audio_pocketsphinx", "k", 0.0, 1.0),
        ExampleRow("own_judged", "k", 1.0, 1.0),
    ]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_examples(tmp_path / "new" / "e.csv", [ExampleRow("x_exact", "a, b", 1.0, 1.0)])
    assert read_outcomes(tmp_path / "new" / "e.csv") == {"x_exact": {"a, b": (1.0, 1.0)}}
