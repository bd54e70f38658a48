"""Outcomes of runs on held-out examples: read, pooled and paired."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.ablation.outcomes import paired_scores, read_outcomes, shared_figures

HEAD = "figure,key,sum,count\n"
LINES = (
    "sums_text_loss,a,2.0,4\nprose_text_loss,b,9.0,3\nx_image_loss,c,1.0,2\nx_exact,c,1,1\nx_exact,d,0,1\n"
)


def write(path: Path, lines: str) -> Path:
    path.write_text(HEAD + lines)
    return path


def test_losses_are_pooled_over_sources(tmp_path: Path) -> None:
    found = read_outcomes(write(tmp_path / "a.csv", LINES))
    assert found["all_text_loss"] == {"a": (2.0, 4.0), "b": (9.0, 3.0)}
    assert found["all_image_loss"] == {"c": (1.0, 2.0)}
    assert shared_figures([found])[:2] == ["all_image_loss", "all_text_loss"]


def test_runs_are_paired_on_the_examples_that_all_have(tmp_path: Path) -> None:
    one = read_outcomes(write(tmp_path / "a.csv", LINES))
    other = read_outcomes(write(tmp_path / "b.csv", "x_exact,d,1,1\nx_exact,c,1,1\nx_exact,e,1,1\n"))
    assert shared_figures([one, other]) == ["x_exact"]
    first, second = paired_scores("x_exact", [one, one], [other, one])
    assert first.sums.tolist() == [[1, 0], [1, 0]]
    assert second.sums.tolist() == [[1, 1], [1, 0]]


def test_losses_are_compared_per_target_of_the_second(tmp_path: Path) -> None:
    """A clip of 4 frames costs 40 nats as frames, and 36 as 24 codes: 10 and 9 nats a frame, not 10 and 1.5."""
    flat = read_outcomes(write(tmp_path / "a.csv", "x_audio_loss,d,36,24\n"))
    frame = read_outcomes(write(tmp_path / "b.csv", "x_audio_loss,d,40,4\n"))
    first, second = paired_scores("x_audio_loss", [flat], [frame])
    assert (first.value, second.value) == (9, 10)


def test_runs_without_a_common_example_are_refused(tmp_path: Path) -> None:
    one = read_outcomes(write(tmp_path / "a.csv", "x_exact,d,1,1\n"))
    other = read_outcomes(write(tmp_path / "b.csv", "x_exact,e,1,1\n"))
    with pytest.raises(ValueError, match="x_exact: the runs have no held-out example in common"):
        paired_scores("x_exact", [one], [other])


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"c\.csv: expected the columns figure, key, sum, count"):
        read_outcomes(path)
    with pytest.raises(ValueError, match=r"none\.csv: no such file"):
        read_outcomes(tmp_path / "none.csv")
