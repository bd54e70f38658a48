"""Evaluation during training: when, of what, without a trace in the run, and the same on two ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import lightning
import pytest
import torch

from omni.callbacks.evaluation import Evaluation
from omni.datamodules.collate import collate
from omni.datamodules.shards.reader import ShardReader
from omni.evaluation.losses import loss_tallies
from omni.evaluation.scorer import DocumentScorer
from omni.layout import Layout
from omni.sequence import OmniBatch
from tests.callbacks.evaluation_rank import LIMIT, evaluation, main, write_data
from tests.ranks import run_two_ranks
from tests.tiny_run import fit, weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("corpus"))


def test_figures_are_those_of_the_model_and_the_run_goes_on_as_if_nothing_had_been(
    folder: Path, tmp_path: Path
) -> None:
    callback = evaluation(folder)
    module = fit(folder, tmp_path / "with", max_steps=4, callbacks=[callback])
    plain = fit(folder, tmp_path / "without", max_steps=4)
    for name, kept in weights(plain).items():
        assert torch.equal(kept, weights(module)[name]), name
    figures = {tally.name: tally for tally in callback.tallies}
    assert {"exam_choice", "image_to_text_exact", "sum_wer", "text_to_image_image_loss"} <= set(figures)
    reader = ShardReader(folder / "heldout", module.tokenizers.audio.fingerprint)
    scorer = DocumentScorer(module.model.eval(), Layout(module.tokenizers), collate)
    for expected in loss_tallies(scorer, {number: reader[number] for number in range(LIMIT)}):
        assert figures[expected.name].value == pytest.approx(expected.value, rel=1e-4)
        assert len(figures[expected.name]) == len(expected)
    assert len(figures["exam_choice"]) == 3


def test_two_ranks_measure_each_example_once_and_find_the_same(folder: Path) -> None:
    main(folder)
    run_two_ranks("tests.callbacks.evaluation_rank", folder)
    alone, first, second = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1")
    )
    assert first == second
    assert set(first) == set(alone)
    for name, (numbers, value) in alone.items():
        assert first[name][0] == numbers, name
        assert first[name][1] == pytest.approx(value, rel=1e-4), name
    losses = {number for name, (numbers, _) in first.items() if name.endswith("_loss") for number in numbers}
    assert losses == set(range(LIMIT))


def times(callback: Evaluation, positions: int = 100) -> list[int]:
    """Steps at which it evaluates, of eight steps of two batches."""
    found: list[int] = []
    callback.evaluate = lambda trainer, module: found.append(trainer.global_step)  # type: ignore[method-assign]
    batch = Mock(OmniBatch, step_positions=positions)
    for batch_idx in range(16):
        trainer = Mock(lightning.Trainer, accumulate_grad_batches=2, global_step=(batch_idx + 1) // 2)
        callback.on_train_batch_end(trainer, Mock(lightning.LightningModule), None, batch, batch_idx)
    return found


def test_intervals() -> None:
    assert times(Evaluation(["x"], every_n_steps=3)) == [3, 6]
    assert times(Evaluation(["x"], every_n_positions=250)) == [3, 5, 8]


def test_positions_are_counted_on_after_a_resume() -> None:
    first, resumed = (Evaluation(["x"], every_n_positions=1000) for _ in range(2))
    assert times(first) == []
    resumed.load_state_dict(first.state_dict())
    assert times(resumed) == [2]
    assert first.state_key == resumed.state_key != Evaluation(["y"], every_n_steps=1).state_key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every_n_steps": 2}, "nothing to evaluate on: give data"),
        ({"data": ["x"]}, "give one interval, every_n_steps or every_n_positions, got 0 and 0"),
        ({"data": ["x"], "every_n_steps": 1, "every_n_positions": 1}, "give one interval"),
        ({"data": ["x"], "every_n_steps": -1}, "every_n_steps must be at least 0, got -1"),
        ({"data": ["x"], "every_n_steps": 1, "limit": 0}, "limit must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(**settings)


def test_a_module_without_held_out_data_is_named() -> None:
    trainer = Mock(lightning.Trainer, datamodule=None)
    with pytest.raises(ValueError, match=r"needs a data module with held_out\(\) .*, got NoneType"):
        Evaluation(["x"], every_n_steps=1).evaluate(trainer, Mock(lightning.LightningModule))
