"""Checkpoints: what the counters of a resumed run begin with, and that ``last.ckpt`` is always there."""

from __future__ import annotations

import copy
import errno
import shutil
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.progress import count_anew
from omni.parallel.checkpoint.saver import SaveError
from omni.sequence import OmniBatch
from omni.snapshot.folder import examine_all, prune
from tests.tiny_run import GLOBAL_ROWS, STEPS, AfterStep, fit, weights, write_corpus

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
    stopped = Path(shutil.copytree(tmp_path / "kept" / "last.ckpt", tmp_path / "stopped.ckpt"))
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
    """A run that is killed then finds the newest one."""
    last, steps = tmp_path / "kept" / "last.ckpt", []

    def watched(newest: Path, *args: Any) -> None:
        for act in (lambda: None, lambda: prune(newest, *args)):
            act()
            manifest, found = examine_all(last.resolve())
            assert manifest is not None and not found
            steps.append(manifest.step)

    monkeypatch.setattr("omni.parallel.checkpoint.saver.prune", watched)
    fit(corpus, tmp_path, callbacks=[checkpoints])
    assert steps == [2, 2, 4, 4, 6, 6, 8, 8]
    assert last.is_symlink()
    assert sorted(p.name for p in last.parent.iterdir()) == ["last.ckpt", "step=6.ckpt", "step=8.ckpt"]


def test_a_step_can_be_saved_at_any_time(corpus: Path, tmp_path: Path, checkpoints: Checkpoints) -> None:
    """It is there when the call returns, whatever is being saved."""

    def act(trainer: lightning.Trainer) -> None:
        checkpoints.save_now(trainer)
        manifest, found = examine_all(tmp_path / "kept" / "step=3.ckpt")
        assert manifest is not None and manifest.step == 3 and not found
        assert (tmp_path / "kept" / "last.ckpt").resolve().name == "step=3.ckpt"

    fit(corpus, tmp_path, max_steps=3, callbacks=[AfterStep(3, act), checkpoints])


class Failing:
    """Takes the place of the function that writes tensors, and fails at some of its calls."""

    def __init__(self, at: set[int]) -> None:
        self.at, self.calls = at, 0

    def __call__(self, tensors: Any, path: Path) -> None:
        self.calls += 1
        if self.calls in self.at:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save_file(tensors, path)


def test_a_save_that_fails_is_told_within_a_step_and_tried_again(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training goes on, and ends in the same weights; the checkpoint before stays."""
    expected = weights(fit(corpus, tmp_path))
    monkeypatch.setattr("omni.snapshot.storage.save_file", Failing({3}))  # two calls a checkpoint
    failures: dict[int, int] = {}
    told: list[tuple[int, str]] = []

    class Told(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            if checkpoints._saver._saving:  # it fails before the next step ends
                wait([checkpoints._saver._saving[1]])
            failures[trainer.global_step] = checkpoints.failures

    monkeypatch.setattr(
        "omni.callbacks.checkpoint.rank_zero_warn", lambda said: told.append((max(failures), said))
    )
    module = fit(corpus, tmp_path, callbacks=[Told(), checkpoints])
    ((step, said),) = told
    assert step == 5 and "step=4.ckpt: not saved; rank 0: OSError: " in said
    assert "No space left on device" in said and "(failure 1 of 3 in a row)" in said
    assert failures == {1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 1, 8: 1}
    torch.testing.assert_close(weights(module), expected, rtol=0, atol=0)
    assert sorted(p.name for p in (tmp_path / "kept").glob("step*")) == ["step=6.ckpt", "step=8.ckpt"]


def test_training_stops_where_no_save_works(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni.snapshot.storage.save_file", Failing(set(range(99))))
    checkpoints.max_failures = 2
    seen = Seen()
    with (
        pytest.warns(UserWarning, match=r"step=2\.ckpt: not saved"),
        pytest.raises(
            SaveError, match=r"step=4\.ckpt: not saved; rank 0: OSError: .*No space left on device"
        ),
    ):
        fit(corpus, tmp_path, callbacks=[checkpoints, seen])
    assert 4 <= len(seen.batches) <= 6
    with pytest.raises(ValueError, match=r"checkpoint\.save_top_k must not be 0.* got 0, 2 and 3"):
        Checkpoints(tmp_path, save_top_k=0)


def test_the_global_generators_go_on(corpus: Path, tmp_path: Path, checkpoints: Checkpoints) -> None:
    """What a callback draws, a resumed run draws, too. (Python's are not looked at: beartype draws from them.)"""

    class Draws(lightning.Callback):
        def __init__(self) -> None:
            self.drawn = list[tuple[float, ...]]()

        def on_train_batch_end(self, *_: Any) -> None:
            self.drawn.append((np.random.rand(), float(torch.rand(()))))

    lightning.seed_everything(3)
    whole, rest = Draws(), Draws()
    fit(corpus, tmp_path, callbacks=[whole, copy.deepcopy(checkpoints)])
    resume = tmp_path / "kept" / "step=6.ckpt"
    lightning.seed_everything(4)
    fit(corpus, tmp_path, callbacks=[rest, checkpoints], resume=resume)
    assert rest.drawn == whole.drawn[6:] and len(rest.drawn) == STEPS - 6


def test_a_finished_run_goes_on_with_more_steps(
    corpus: Path, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    fit(corpus, tmp_path, batch_rows=2, max_steps=3, callbacks=[checkpoints])
    rest, whole = Seen(), Seen()
    fit(corpus, tmp_path, batch_rows=2, max_steps=5, callbacks=[whole])
    resume = tmp_path / "kept" / "last.ckpt"
    fit(corpus, tmp_path, batch_rows=2, max_steps=5, callbacks=[rest, checkpoints], resume=resume)
    assert rest.batches == whole.batches[6:]
