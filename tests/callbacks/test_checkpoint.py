"""Checkpoints: what the counters of a resumed run begin with, and that ``last.ckpt`` is always there."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.progress import count_anew
from omni.sequence import OmniBatch
from tests.tiny_run import GLOBAL_ROWS, STEPS, fit, weights, write_corpus

NAMES = ("ready", "started", "processed", "completed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def saved(
    total: int, current: int, step: int, batch: int, per_step: int, completed: int = 0
) -> dict[str, Any]:
    """The part of a checkpoint that counts: after ``total`` batches, ``current`` of them in this epoch."""
    counts = [dict.fromkeys(NAMES, n) | {"completed": n - completed} for n in (total, current)]
    return {
        "loops": {
            "fit_loop": {
                "state_dict": {
                    "combined_loader": [{"step": step, "batch": batch, "batches_per_step": per_step}]
                },
                "epoch_loop.state_dict": {"_batches_that_stepped": step},
                "epoch_loop.batch_progress": {
                    "total": counts[0],
                    "current": counts[1],
                    "is_last_batch": False,
                },
            }
        }
    }


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (saved(20, 20, 5, 0, 4), saved(10, 10, 5, 0, 2)),
        (saved(20, 20, 5, 0, 4, completed=1), saved(10, 10, 5, 0, 2, completed=1)),
        (saved(5, 5, 5, 0, 1, completed=1), saved(10, 10, 5, 0, 2, completed=1)),
        (saved(32, 12, 3, 0, 4), saved(16, 6, 3, 0, 2)),
        (saved(10, 10, 5, 0, 2, completed=1), saved(10, 10, 5, 0, 2, completed=1)),
    ],
    ids=["two ranks for one", "before validation", "one rank for two", "in a second epoch", "as it was"],
)
def test_batches_are_counted_anew(before: dict[str, Any], now: dict[str, Any]) -> None:
    count_anew(before, 2)
    assert before == now


@pytest.mark.parametrize("completed", [0, 1])
@pytest.mark.parametrize("now", [1, 2, 4])
def test_a_step_that_was_begun_is_begun_again(now: int, completed: int) -> None:
    """As Lightning would have saved it behind the last batch of the step before."""
    before = saved(23, 23, 5, 3, 4, completed)
    count_anew(before, now)
    expected = saved(5 * now, 5 * now, 5, 0, now, completed=1)
    expected["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"] = 4
    assert before == expected


def test_data_ahead_of_the_weights_are_refused() -> None:
    """Such as a checkpoint that an exception caused, while the last batch of step 4 was worked on."""
    message = (
        r"saved inside a batch: 20 were read, 19 trained on, 4 a step\. Resume from one that was saved after"
    )
    with pytest.raises(ValueError, match=message):
        count_anew(saved(19, 19, 5, 0, 4), 2)


def test_other_loaders_are_left_alone() -> None:
    checkpoint = saved(19, 19, 5, 0, 4)
    checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = [{"place": 3}]
    before = copy.deepcopy(checkpoint)
    count_anew(checkpoint, 2)
    assert checkpoint == before


class Seen(lightning.Callback):
    """Keeps numbers and rows of the batches, and stops after one of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.batches = stop_after, list[tuple[int, tuple[int, ...]]]()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: OmniBatch, batch_idx: int
    ) -> None:
        self.batches.append((batch_idx, batch.row_numbers))
        trainer.should_stop = batch_idx == self.stop_after


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """As ``omni fit`` has them."""
    return Checkpoints(
        tmp_path / "kept",
        filename="{step}",
        save_last="link",
        every_n_train_steps=2,
        enable_version_counter=False,
    )


def test_a_run_that_stopped_inside_a_step_does_the_whole_step_again(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    """Gradients are in no checkpoint. Also where a step has another number of batches from then on."""
    settings: dict[str, Any] = {"dtype": torch.float64}  # where an order of summing can't hide a mistake
    fit(corpus, tmp_path, batch_rows=2, callbacks=[Seen(stop_after=6), checkpoints], **settings)
    stopped = Path(shutil.copy(tmp_path / "kept" / "last.ckpt", tmp_path / "stopped.ckpt"))
    whole = Seen()
    expected = weights(fit(corpus, tmp_path, batch_rows=2, callbacks=[whole], **settings))
    for batch_rows, tolerance in ((2, 0.0), (4, 1e-9)):
        rest, kept = Seen(), copy.deepcopy(checkpoints)
        module = fit(
            corpus, tmp_path, batch_rows=batch_rows, callbacks=[rest, kept], resume=stopped, **settings
        )
        numbers = range(3 * GLOBAL_ROWS // batch_rows, STEPS * GLOBAL_ROWS // batch_rows)
        assert [number for number, _ in rest.batches] == list(numbers)
        rows = [set(rows) for _, rows in rest.batches]
        if batch_rows == 2:
            assert rest.batches == whole.batches[6:]
        else:
            assert rows == [set(range(first, first + GLOBAL_ROWS)) for first in range(12, 32, GLOBAL_ROWS)]
        torch.testing.assert_close(weights(module), expected, rtol=0, atol=tolerance)


def test_last_is_there_whenever_a_checkpoint_is_removed(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed then finds the newest one. Lightning's own order leaves a link to nothing."""
    last, steps = tmp_path / "kept" / "last.ckpt", []
    remove = Checkpoints._remove_checkpoint

    def watched(self: Checkpoints, trainer: lightning.Trainer, filepath: str) -> None:
        remove(self, trainer, filepath)
        steps.append(torch.load(last, weights_only=True)["global_step"])
        assert not Path(filepath).exists()

    monkeypatch.setattr(Checkpoints, "_remove_checkpoint", watched)
    fit(corpus, tmp_path, callbacks=[checkpoints])
    assert steps == [4, 6, 8]
    assert last.is_symlink() and sorted(p.name for p in last.parent.iterdir()) == ["last.ckpt", "step=8.ckpt"]


def test_a_finished_run_goes_on_with_more_steps(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    fit(corpus, tmp_path, batch_rows=2, max_steps=3, callbacks=[checkpoints])
    rest, whole = Seen(), Seen()
    fit(corpus, tmp_path, batch_rows=2, max_steps=5, callbacks=[whole])
    resume = tmp_path / "kept" / "last.ckpt"
    fit(corpus, tmp_path, batch_rows=2, max_steps=5, callbacks=[rest, checkpoints], resume=resume)
    assert rest.batches == whole.batches[6:]
