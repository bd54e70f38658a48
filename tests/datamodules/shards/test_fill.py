"""What packing makes of a folder, compared with a count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.shards.fill import FillConfig, packed_fill
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.scan import shards_in
from omni.datamodules.shards.writer import write_shards
from omni.layout import Layout
from omni.sequence import Document, Text
from tests.tiny import tiny_documents, tiny_tokenizers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """64 documents, measured."""
    write_shards(tiny_documents(64), tmp_path, per_shard=16)
    for shard in shards_in(tmp_path):
        write_index(shard, Layout(tiny_tokenizers()))
    return tmp_path


def test_fill_and_padding(folder: Path) -> None:
    lengths = np.array([len(Layout(tiny_tokenizers()).encode(one)) for one in tiny_documents(64)])
    row_length = int(np.sort(lengths)[-2])  # the longest doesn't fit
    config = FillConfig(row_length=row_length, ranks=2, rows_of_rank=2)
    found = packed_fill(ShardReader(folder).indexes, config)
    assert found is not None
    fits = lengths <= row_length
    assert found.too_long == (~fits).sum() >= 1 and found.too_long_positions == lengths[~fits].sum()
    assert found.documents == fits.sum()
    assert found.fill == lengths[fits].sum() / (found.rows * row_length) and found.fill > 0.9
    assert found.padding == 1 - found.fill
    assert found.padding_alone == pytest.approx(1 - lengths[fits].mean() / row_length)
    assert found.steps == found.rows // 4 and 0.5 < found.balance <= 1


def test_ranks_of_equal_rows_wait_for_nobody(tmp_path: Path) -> None:
    write_shards([Document((Text("the same"),), key=str(n)) for n in range(16)], tmp_path)
    write_index(tmp_path / "shard-000000.tar", Layout(tiny_tokenizers()))
    (index,) = ShardReader(tmp_path).indexes
    length = int(index.positions.sum(1)[0])
    found = packed_fill([index], FillConfig(row_length=length, ranks=4, rows_of_rank=2))
    assert found is not None
    assert (found.fill, found.padding_alone, found.balance, found.steps, found.rows) == (1, 0, 1, 2, 16)


def test_no_document_fits(folder: Path) -> None:
    assert packed_fill(ShardReader(folder).indexes, FillConfig(row_length=2)) is None
    with pytest.raises(ValueError, match="ranks must be at least 1, got 0"):
        FillConfig(ranks=0)
