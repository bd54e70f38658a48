"""The log of the order: a line for each window that the run begins, on rank 0 alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning

from omni.ablation.order import read_order
from omni.callbacks.order import OrderLog


@dataclass(frozen=True)
class Window:
    window: int
    count: int = 8
    documents: str = "d"
    rows: str = "r"


class Loader:
    """Two steps a window."""

    def __init__(self) -> None:
        self.step = 0

    def window(self) -> int:
        return self.step // 2

    def order(self) -> Window | None:
        return Window(self.window()) if self.window() < 3 else None


class Trainer(lightning.Trainer):
    """As far as the callback looks."""

    def __init__(self, loader: Loader, rank: int) -> None:
        self.loader, self.rank = loader, rank

    @property
    def train_dataloader(self) -> Loader:
        return self.loader

    @property
    def is_global_zero(self) -> bool:
        return self.rank == 0


def run(file: Path, steps: int, first: int = 0, rank: int = 0) -> None:
    loader = Loader()
    loader.step = first
    trainer = Trainer(loader, rank)
    log = OrderLog(str(file))
    log.on_train_start(trainer, lightning.LightningModule())
    for _ in range(steps):
        loader.step += 1
        log.on_train_batch_end(trainer)


def test_each_window_is_logged_as_it_begins(tmp_path: Path) -> None:
    run(tmp_path / "run" / "order.csv", 4)
    lines = (tmp_path / "run" / "order.csv").read_text().splitlines()
    assert lines == ["window,count,documents,rows", "0,8,d,r", "1,8,d,r", "2,8,d,r"]


def test_a_resumed_run_logs_the_window_that_it_is_in_again(tmp_path: Path) -> None:
    file = tmp_path / "order.csv"
    run(file, 2)
    run(file, 2, first=3)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["window", "0", "1", "1", "2"]
    assert list(read_order(file)) == [0, 1, 2]


def test_behind_the_last_window_and_on_other_ranks_nothing_is_logged(tmp_path: Path) -> None:
    run(tmp_path / "end.csv", 9)
    assert len((tmp_path / "end.csv").read_text().splitlines()) == 4
    run(tmp_path / "other.csv", 4, rank=1)
    assert not (tmp_path / "other.csv").exists()
