"""The data module: what it prints about the folders that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.writer import write_shards
from omni.datamodules.stream.plan_config import PlanConfig
from tests.tiny import tiny_documents
from tests.tiny_run import write_corpus


def test_each_folder_says_how_many_documents_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path, tiny_documents(20))
    write_shards(tiny_documents(12, seed=1), tmp_path / "val")
    train, val = (str(tmp_path / name) for name in ("train", "val"))
    plan = PlanConfig(row_length=28)
    data = OmniDataModule(str(tmp_path / "tokenizers"), train, val, plan)
    data.setup("fit")
    said = "".join(capsys.readouterr().out.split())
    for folder, usable, too_long in ((train, 18, 2), (val, 8, 4)):
        assert int((data.stores[folder].table.lengths > 28).sum()) == too_long
        assert f"{folder}:{usable}documents," in said
    assert said.count("%full;2documentsover28positionsleftout") == 1
    assert said.count("%full;4documentsover28positionsleftout") == 1
    data.setup("validate")
    assert capsys.readouterr().out == "", "it is said once"


def test_the_order_does_not_depend_on_where_the_shards_lie(tmp_path: Path) -> None:
    orders = []
    for name in ("here", "elsewhere"):
        folder = write_corpus(tmp_path / name, tiny_documents(20))
        plan = PlanConfig(row_length=100, global_rows=2)
        data = OmniDataModule(str(folder / "tokenizers"), str(folder / "train"), None, plan, batch_rows=2)
        data.setup("fit")
        orders.append([batch.keys for batch, _ in zip(data.train_dataloader(), range(4), strict=False)])
    assert orders[0] == orders[1]
