"""The matrix of exactness: runs that were stopped and runs that were not, by number of ranks and workers."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from omni.parallel.checkpoint.plugin import FolderIO
from tests.cli.fit_run import GLOBAL_ROWS, SAVED_EVERY, STEPS, Done, config, done_in
from tests.parallel.checkpoint.trained import assert_same
from tests.ranks import run_ranks
from tests.tiny_run import write_corpus

pytestmark = pytest.mark.slow

WORLDS, WORKERS = (1, 2, 4), (0, 2)
LOOKED_AT = (
    *(
        "--trainer.logger.class_path",
        "lightning.pytorch.loggers.CSVLogger",
        "--trainer.log_every_n_steps",
        "1",
    ),
    *("--router_telemetry.every_n_steps", "1", "--drift_alarms.every_n_steps", "1"),
    *("--source_telemetry.every_n_steps", "1", "--checkpoint.keep", "0"),
)


@dataclass(frozen=True)
class Run:
    """A run, and where it is."""

    folder: Path
    world: int

    @property
    def done(self) -> Done:
        return done_in(self.folder, "run", self.world)

    def arguments(self, corpus: Path, workers: int, *more: str) -> str:
        """A line for ``exact_rank``."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "run.yaml"
        path.write_text(
            yaml.safe_dump(config(corpus, self.folder, self.folder / "run", self.world, workers, None))
        )
        logs = f"--trainer.logger.init_args.save_dir={self.folder / 'logs'}"
        return json.dumps(["--config", str(path), *LOOKED_AT, logs, *more]) + "\n"

    def from_first_checkpoint(self, of: Run, corpus: Path, workers: int) -> str:
        """The same for a run that goes on from where ``of`` was behind its first checkpoint.

        Its ``last.ckpt`` names a checkpoint that is gone, and is put right first.
        """
        first = f"step-{SAVED_EVERY:06d}.ckpt"
        checkpoints = self.folder / "checkpoints"
        shutil.copytree(of.folder / "checkpoints" / first, checkpoints / first)
        (checkpoints / "last.ckpt").symlink_to(f"step-{STEPS:06d}.ckpt")
        return self.arguments(corpus, workers, "--ckpt_path", "last")

    def telemetry(self) -> dict[int, dict[str, str]]:
        """What was logged behind the first checkpoint, by step, but for what the clock says."""
        (file,) = (self.folder / "logs").rglob("metrics.csv")
        found: dict[int, dict[str, str]] = {}
        for line in csv.DictReader(file.open()):
            step = int(line["step"])
            for name, value in line.items():
                if step >= SAVED_EVERY and value and "throughput" not in name:
                    found.setdefault(step, {})[name] = value
        return found


class Runs:
    """All runs of a number of ranks in one launch; launches come in the order of ``WORLDS``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpus = folder, write_corpus(folder / "corpus")

    def whole(self, world: int) -> Run:
        return Run(self.folder / f"whole-{world}", world)

    def resumed(self, world: int, workers: int) -> Run:
        return Run(self.folder / f"resumed-{world}-{workers}", world)

    def moved(self, before: int, now: int) -> Run:
        return Run(self.folder / f"moved-{before}-{now}", now)

    @cache  # noqa: B019 (one fixture, one object)
    def launch(self, world: int) -> None:
        """The whole run of these ranks, and those that go on from earlier launches."""
        before = [other for other in WORLDS if (self.whole(other).folder / "checkpoints").exists()]
        self._start(world, self.whole(world).arguments(self.corpus, 0))
        lines = [
            self.resumed(world, workers).from_first_checkpoint(self.whole(world), self.corpus, workers)
            for workers in WORKERS
        ]
        lines += [
            self.moved(other, world).from_first_checkpoint(self.whole(other), self.corpus, 2)
            for other in before
        ]
        self._start(world, "".join(lines))

    def _start(self, world: int, lines: str) -> None:
        file = self.folder / f"arguments-{world}"
        file.write_text(lines)
        run_ranks(world, "tests.cli.exact_rank", file, seconds=3000)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.timeout(6000)
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("world", WORLDS)
def test_a_resumed_run_is_exact(runs: Runs, world: int, workers: int) -> None:
    """Batches, documents, losses, telemetry, weights, optimizer, schedule, generators: bit for bit."""
    runs.launch(world)
    whole, rest = runs.whole(world), runs.resumed(world, workers)
    first = SAVED_EVERY * GLOBAL_ROWS // world
    assert rest.done.batches == [rank[first:] for rank in whole.done.batches]
    ends = [FolderIO().load_checkpoint(run.folder / "checkpoints" / "last.ckpt") for run in (whole, rest)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == STEPS
    assert_same(*ends)
    assert rest.telemetry() == whole.telemetry()
    names = set[str]().union(*rest.telemetry().values())
    assert {"train/text", "train/image", "train/audio"} <= names
    assert any(name.startswith("router/") for name in names) and any(
        name.startswith("drift/") for name in names
    )


@pytest.mark.timeout(6000)
@pytest.mark.parametrize(("before", "now"), [(1, 2), (1, 4), (2, 4), (4, 1)])
def test_other_ranks_go_on_with_the_same_documents(runs: Runs, before: int, now: int) -> None:
    """None is lost or comes twice; the losses of a step are the same but for rounding."""
    for world in (before, now):
        runs.launch(world)
    rest = runs.moved(before, now)
    if not rest.folder.exists():  # to fewer ranks
        runs._start(now, rest.from_first_checkpoint(runs.whole(before), runs.corpus, 2))
    keys = [
        {row: batch["keys"] for rank in run.done.batches for batch in rank for row in batch["rows"]}
        for run in (rest, runs.whole(before))
    ]
    assert sorted(keys[0]) == list(range(SAVED_EVERY * GLOBAL_ROWS, STEPS * GLOBAL_ROWS))
    assert keys[0] == {row: keys[1][row] for row in keys[0]}
    losses = runs.whole(before).done.loss_by_step()
    assert rest.done.loss_by_step() == pytest.approx(
        {step: losses[step] for step in range(SAVED_EVERY, STEPS)}, rel=1e-4
    )
