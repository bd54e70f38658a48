"""``omni fit``, SIGKILL, ``omni fit --ckpt_path last``: as if nothing had happened, also on other ranks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from omni.parallel.checkpoint.plugin import FolderIO
from tests.cli.fit_run import GLOBAL_ROWS, SAVED_EVERY, STEPS, VALIDATED_EVERY, Done, omni_fit
from tests.parallel.checkpoint.trained import assert_same
from tests.snapshot.made import flip
from tests.tiny_run import write_corpus

KILLED_STEP = 4
"""From 0: inside it, and behind the checkpoint of step 3 and the validation of step 4."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Path:
    return write_corpus(folder / "corpus")


@pytest.fixture(scope="module")
def whole(corpus: Path, folder: Path) -> Done:
    """A run that nothing stops: one rank, four batches a step."""
    done = omni_fit(corpus, folder / "whole", "whole")
    assert done.code == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def killed(corpus: Path, folder: Path, whole: Done) -> Path:
    """Folder of the same run with two workers, killed after the second batch of a step."""
    stopped = KILLED_STEP * GLOBAL_ROWS + 1
    done = omni_fit(corpus, folder / "killed", "killed", workers=2, kill_after=stopped)
    assert done.code == -9, done.stderr[-4000:]
    assert done.batches == [whole.batches[0][: stopped + 1]], "workers change nothing"
    return folder / "killed"


def last(folder: Path) -> dict[str, Any]:
    return FolderIO().load_checkpoint(folder / "checkpoints" / "last.ckpt")


def test_a_run_goes_on_at_the_batch_behind_the_last_checkpoint(
    corpus: Path, killed: Path, whole: Done, folder: Path, tmp_path: Path
) -> None:
    """Batches, rows, documents, losses, validations, weights and moments: bit for bit."""
    out = tmp_path / "here"
    shutil.copytree(killed, out, symlinks=True)
    assert last(out)["global_step"] == SAVED_EVERY
    done = omni_fit(corpus, out, "rest", "--ckpt_path", "last")
    assert done.code == 0, done.stderr[-4000:]
    assert done.batches == [whole.batches[0][SAVED_EVERY * GLOBAL_ROWS :]]
    assert list(whole.validations) == list(range(VALIDATED_EVERY, STEPS, VALIDATED_EVERY))
    assert done.validations == {s: v for s, v in whole.validations.items() if s > SAVED_EVERY}
    ends = [last(out), last(folder / "whole")]
    assert [end["global_step"] for end in ends] == [STEPS, STEPS]
    assert_same(*ends)


def assert_goes_on(done: Done, whole: Done) -> None:
    """The same rows step by step from the checkpoint to the end, and, but for rounding, the same losses."""
    assert done.code == 0, done.stderr[-4000:]
    steps = range(SAVED_EVERY, STEPS)
    rows = done.rows_by_step()
    assert {step: sorted(rows[step]) for step in rows} == {
        step: list(range(step * GLOBAL_ROWS, (step + 1) * GLOBAL_ROWS)) for step in steps
    }
    world = len(done.batches)
    numbers = list(range(SAVED_EVERY * GLOBAL_ROWS // world, STEPS * GLOBAL_ROWS // world))
    assert [[batch["batch"] for batch in rank] for rank in done.batches] == [numbers] * world
    keys, expected = (
        {batch["rows"][0]: batch["keys"] for rank in run.batches for batch in rank} for run in (done, whole)
    )
    assert keys == {row: expected[row] for row in keys}, "a row holds the same documents"
    losses = whole.loss_by_step()
    assert done.loss_by_step() == pytest.approx({step: losses[step] for step in steps}, rel=1e-4)
    assert list(done.validations) == [step for step in whole.validations if step > SAVED_EVERY]
    for step, found in done.validations.items():
        assert found == pytest.approx(whole.validations[step], rel=1e-3)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    corpus: Path, whole: Done, folder: Path, tmp_path: Path
) -> None:
    """The message names the damage; batches and losses behind it are those of the run that nothing stopped."""
    out = tmp_path / "here"
    shutil.copytree(folder / "whole", out, symlinks=True)
    damaged = (out / "checkpoints" / "last.ckpt").resolve()
    flip(damaged / "weights-00000.safetensors", -1)
    done = omni_fit(corpus, out, "rest", "--ckpt_path", "last", workers=2)
    assert done.code == 0, done.stderr[-4000:]
    assert "last.ckpt: damaged (" in done.stderr
    assert f"{damaged.name}/weights-00000.safetensors: checksum differs from what was written" in done.stderr
    assert done.batches == [whole.batches[0][2 * SAVED_EVERY * GLOBAL_ROWS :]]
    assert last(out)["global_step"] == STEPS


def test_one_rank_goes_on_as_two(corpus: Path, killed: Path, whole: Done, tmp_path: Path) -> None:
    out = tmp_path / "here"
    shutil.copytree(killed, out, symlinks=True)
    assert_goes_on(omni_fit(corpus, out, "rest", "--ckpt_path", "last", world=2), whole)


def test_two_ranks_go_on_as_one(corpus: Path, whole: Done, tmp_path: Path) -> None:
    stopped = KILLED_STEP * GLOBAL_ROWS // 2
    done = omni_fit(corpus, tmp_path / "run", "killed", world=2, kill_after=stopped)
    assert done.code == 1 and "exitcode  : -9" in done.stderr, done.stderr[-4000:]
    assert max(done.rows_by_step()) == KILLED_STEP
    assert last(tmp_path / "run")["global_step"] == SAVED_EVERY
    rest = omni_fit(corpus, tmp_path / "run", "rest", "--ckpt_path", "last", workers=2)
    assert_goes_on(rest, whole)
