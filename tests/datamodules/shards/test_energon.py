"""Megatron-Energon reads our shards as they are, in a folder of links to them.

Not in the folder itself: `energon prepare` writes `X.tar.idx`, too, with other content than ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.shards.format import from_members
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.shards.test_writer_reader import described
from tests.tiny import tiny_documents

energon: Any = pytest.importorskip("megatron.energon")


@energon.edataclass
class Members(energon.Sample):
    """What stands in the tar of one document."""

    members: dict[str, bytes]


@energon.stateless
def cook(sample: dict[str, Any]) -> Members:
    members = {name: content for name, content in sample.items() if not name.startswith("__")}
    return Members(**energon.basic_sample_keys(sample), members=members)


class AsTheyAre(energon.DefaultTaskEncoder):
    """Decodes nothing."""

    decoder = None
    cookers = (energon.Cooker(cook),)


@pytest.mark.timeout(300)
def test_energon_reads_the_shards(tmp_path: Path) -> None:
    documents = tiny_documents(20)
    write_shards(documents, tmp_path / "ours", per_shard=8)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    names = [index.shard.name for index in ShardReader(tmp_path / "ours").indexes]
    for name in names:
        (theirs / name).symlink_to(tmp_path / "ours" / name)
    energon.BaseWebdatasetFactory.prepare_dataset(
        theirs, names, split_parts_ratio=[("train", 1.0)], shuffle_seed=None, workers=1
    )
    config = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    (theirs / ".nv-meta" / "dataset.yaml").write_text(config)
    dataset = energon.get_train_dataset(
        theirs,
        worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        repeat=False,
        task_encoder=AsTheyAre(),
    )
    found = {sample.__key__: sample.members for sample in energon.get_loader(dataset)}
    by_key = {key.rpartition("/")[2]: members for key, members in found.items()}
    assert sorted(by_key) == [document.key for document in documents]
    for document in documents:
        assert described(from_members(document.key, by_key[document.key], "s.tar")) == described(document)
    assert ShardReader(tmp_path / "ours")[19].key == "000019"
