"""The documents of a folder as sequences: measured once, damaged ones set aside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout
from omni.media import encode_flac
from omni.sequence import Sequence
from omni.tokenizers.audio.arrays import npy_bytes
from tests.tiny import SAMPLE_RATE, tiny_documents, tiny_tokenizers, tone, write_tar

FIELDS = ("modality", "text_ids", "coords", "loss", "patches", "codes")


def assert_same(first: Sequence, second: Sequence) -> None:
    assert first.key == second.key
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def damage(folder: Path, numbers: list[int]) -> None:
    """Overwrite the JSON of documents with zeros."""
    reader = ShardReader(folder)
    for number in numbers:
        index, row = reader.find(number)
        offset, size = index.entry(row).members["json"]
        with index.shard.open("r+b") as file:
            file.seek(offset)
            file.write(bytes(size))


@pytest.mark.parametrize("cache", [False, True])
def test_sequences_and_their_table(tmp_path: Path, cache: bool) -> None:
    write_shards(tiny_documents(10), tmp_path, per_shard=4)
    layout = Layout(tiny_tokenizers())
    store = SequenceStore(tmp_path, layout, cache, max_damaged=0.0)
    reader = ShardReader(tmp_path)
    assert len(store.table.lengths) == 10
    for number in range(10):
        alone = layout.encode(reader[number])  # from the FLAC, which rounds to 16 bits
        assert_same(store[number], alone)
        assert store.table.lengths[number] == len(alone)
        assert store.table.targets[number].tolist() == alone.target_counts().tolist()
    assert not (tmp_path / "quarantine.jsonl").exists()


def test_measuring_draws_no_random_numbers(tmp_path: Path) -> None:
    """Or noise in training would depend on how often data is read."""
    write_shards(tiny_documents(4), tmp_path)
    before = torch.get_rng_state()
    SequenceStore(tmp_path, Layout(tiny_tokenizers()), cache=False, max_damaged=0.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_damaged_documents_are_set_aside_and_the_rest_is_used(tmp_path: Path) -> None:
    write_shards(tiny_documents(10), tmp_path, per_shard=4)
    damage(tmp_path, [2, 3, 9])
    with pytest.warns(UserWarning) as warned:
        store = SequenceStore(tmp_path, Layout(tiny_tokenizers()), cache=True, max_damaged=0.3)
    assert [str(one.message).partition(": damaged")[0] for one in warned] == [
        f"damaged document set aside: {tmp_path}/shard-000000.tar[000002].json",
        f"damaged document set aside: {tmp_path}/shard-000002.tar[000009].json",
    ]
    lines = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert [(Path(line["shard"]).name, line["key"]) for line in lines] == [
        ("shard-000000.tar", "000002"),
        ("shard-000000.tar", "000003"),
        ("shard-000002.tar", "000009"),
    ]
    assert all(line["error"].startswith(f"{line['shard']}[{line['key']}].json: damaged") for line in lines)
    assert np.flatnonzero(store.table.lengths == 0).tolist() == [2, 3, 9]
    plan = Plan({"train": store.table}, PlanConfig(row_length=80), once=True)
    rows = [row for step, _ in plan.steps() for row in step.rows]
    assert sorted(np.concatenate(rows)[:, 1].tolist()) == [0, 1, 4, 5, 6, 7, 8]


def test_too_much_damage_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    write_shards(tiny_documents(10), tmp_path, per_shard=4)
    damage(tmp_path, [2, 9])
    with pytest.warns(UserWarning), pytest.raises(ValueError) as caught:
        SequenceStore(tmp_path, Layout(tiny_tokenizers()), cache=False, max_damaged=0.1)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}: 2 of 10 documents are damaged, more than the allowed share of 0.1"
    )
    assert f"first: {tmp_path}/shard-000000.tar[000002].json: damaged" in message
    assert message.endswith(f"all are listed in {tmp_path}/quarantine.jsonl")


def test_what_can_be_read_but_not_encoded_is_set_aside_too(tmp_path: Path) -> None:
    """Codes that can't be of the codec that they name."""
    layout = Layout(tiny_tokenizers())
    clip = {"type": "audio", "file": "0.flac", "codes": "0.npy", "codec": layout.tokenizers.audio.fingerprint}
    members = {
        "000000.0.flac": encode_flac(tone(1), SAMPLE_RATE),
        "000000.0.npy": npy_bytes(np.array([[1, 2, 16]], np.uint16)),
        "000000.json": json.dumps({"version": 1, "segments": [clip]}).encode(),
        "000001.json": json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}).encode(),
    }
    shard = write_tar(tmp_path / "theirs.tar", members.items())
    write_index(shard)
    with pytest.warns(UserWarning, match="audio code 16 at frame 0, codebook 2: expected 0 to 15"):
        store = SequenceStore(tmp_path, layout, cache=False, max_damaged=0.5)
    assert store.table.lengths.tolist() == [0, 3]
    (line,) = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["error"].startswith(f"{shard}[000000]: segment 0 (audio): audio code 16")
