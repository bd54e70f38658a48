"""The matrix of exactness: a run that was stopped and one that was not, on as many ranks, with and without workers."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from omni.parallel.checkpoint.plugin import FolderIO
from tests.cli.fit_run import GLOBAL_ROWS, SAVED_EVERY, STEPS, Done, omni_fit
from tests.parallel.checkpoint.trained import assert_same
from tests.tiny_run import write_corpus

pytestmark = pytest.mark.slow

LOOKED_AT = (
    *(
        "--trainer.logger.class_path",
        "lightning.pytorch.loggers.CSVLogger",
        "--trainer.log_every_n_steps",
        "1",
    ),
    *("--router_telemetry.every_n_steps", "1", "--drift_alarms.every_n_steps", "1"),
    *("--source_telemetry.every_n_steps", "1", "--throughput.every_n_steps", "1", "--checkpoint.keep", "0"),
)
WHOLE = Callable[[int], tuple[Done, Path]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> WHOLE:
    """A run of so many ranks that nothing stops, and its folder."""

    @cache
    def run(world: int) -> tuple[Done, Path]:
        out = tmp_path_factory.mktemp(f"whole-{world}")
        return fitted(corpus, out, "whole", world=world), out

    return run


def fitted(corpus: Path, out: Path, name: str, *arguments: str, world: int, workers: int = 0) -> Done:
    logs = ("--trainer.logger.init_args.save_dir", str(out), "--trainer.logger.init_args.name", name)
    done = omni_fit(corpus, out, name, *LOOKED_AT, *logs, *arguments, world=world, workers=workers)
    assert done.code == 0, done.stderr[-4000:]
    return done


def stopped(whole: Path, out: Path) -> Path:
    """The folder of a run as it was behind its first checkpoint."""
    shutil.copytree(whole, out, symlinks=True)
    checkpoints = out / "checkpoints"
    for path in checkpoints.glob("step-*.ckpt"):
        if path.name != f"step-{SAVED_EVERY:06d}.ckpt":
            shutil.rmtree(path)
    return out


def telemetry(folder: Path) -> dict[int, dict[str, str]]:
    """What was logged behind the first checkpoint, by step, but for what the clock says."""
    (file,) = folder.rglob("metrics.csv")
    found: dict[int, dict[str, str]] = {}
    for line in csv.DictReader(file.open()):
        step = int(line["step"])
        for name, value in line.items():
            if step >= SAVED_EVERY and value and "throughput" not in name:
                found.setdefault(step, {})[name] = value
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_resumed_run_is_exact(corpus: Path, whole: WHOLE, tmp_path: Path, world: int, workers: int) -> None:
    """Batches, documents, losses, telemetry, weights, optimizer, schedule, generators: bit for bit.

    ``last.ckpt`` names a checkpoint that is gone, and is put right first.
    """
    expected, folder = whole(world)
    out = stopped(folder, tmp_path / "rest")
    done = fitted(corpus, out, "rest", "--ckpt_path", "last", world=world, workers=workers)
    first = SAVED_EVERY * GLOBAL_ROWS // world
    assert done.batches == [rank[first:] for rank in expected.batches]
    ends = [FolderIO().load_checkpoint(run / "checkpoints" / "last.ckpt") for run in (folder, out)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == STEPS
    assert_same(*ends)
    logged = [telemetry(run / name) for run, name in ((folder, "whole"), (out, "rest"))]
    assert logged[0] == logged[1]
    names = set().union(*logged[1].values())
    assert {"train/text", "train/image", "train/audio"} <= names
    assert any(name.startswith("router/") for name in names) and any(
        name.startswith("drift/") for name in names
    )


@pytest.mark.parametrize(("before", "now"), [(1, 4), (4, 1), (2, 4), (4, 2)])
def test_other_ranks_go_on_with_the_same_documents(
    corpus: Path, whole: WHOLE, tmp_path: Path, before: int, now: int
) -> None:
    """None is lost or comes twice; the losses of a step are the same but for rounding."""
    expected, folder = whole(before)
    out = stopped(folder, tmp_path / "rest")
    done = fitted(corpus, out, "rest", "--ckpt_path", "last", world=now, workers=2)
    keys = [
        {row: batch["keys"] for rank in run.batches for batch in rank for row in batch["rows"]}
        for run in (done, expected)
    ]
    assert sorted(keys[0]) == list(range(SAVED_EVERY * GLOBAL_ROWS, STEPS * GLOBAL_ROWS))
    assert keys[0] == {row: keys[1][row] for row in keys[0]}
    losses = expected.loss_by_step()
    assert done.loss_by_step() == pytest.approx(
        {step: losses[step] for step in range(SAVED_EVERY, STEPS)}, rel=1e-4
    )
