"""The documents of a folder as sequences: lengths from the indexes, damage told apart, retries, the cache."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.datamodules.stream import store as store_module
from omni.datamodules.stream.opened import OpenFolder, Opening, open_documents
from omni.datamodules.stream.pieces import cut
from omni.layout import Layout
from omni.media import encode_flac
from omni.sequence import PADDING, Sequence
from omni.tokenizers.audio.arrays import npy_bytes
from tests.tiny import SAMPLE_RATE, tiny_documents, tiny_tokenizers, tone, write_tar
from tests.tiny_run import write_measured

FIELDS = ("modality", "text_ids", "coords", "loss", "patches", "codes")
LAYOUT = Layout(tiny_tokenizers())


@pytest.fixture
def tokenizers(tmp_path: Path) -> Path:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    return tmp_path / "tokenizers"


@pytest.fixture
def folder(tmp_path: Path, tokenizers: Path) -> Path:
    """Ten documents in three shards, measured."""
    write_measured(tiny_documents(10), tmp_path / "shards", tokenizers, per_shard=4)
    return tmp_path / "shards"


def opened(folder: Path, **settings: Any) -> OpenFolder:
    how = {"tokenizers": "TOKENIZERS", "row_length": 80, "max_damaged": 0.0, **settings}
    return open_documents(str(folder), Opening(layout=LAYOUT, **how))


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


# ------------------------------------------------------------------ lengths


@pytest.mark.parametrize("row_length", [80, 100_000], ids=["16 bits", "32 bits"])
def test_lengths_are_those_of_the_index_and_of_the_sequences(folder: Path, row_length: int) -> None:
    found = opened(folder, row_length=row_length)
    table, reader = found.lengths.table, ShardReader(folder)
    assert len(table.lengths) == 10
    for number in range(10):
        alone = LAYOUT.encode(reader[number])  # from the FLAC, which rounds to 16 bits
        assert_same(found.store[number], alone)
        assert table.lengths[number] == len(alone)
        assert table.targets[number].tolist() == alone.target_counts().tolist()


def test_opening_reads_no_document(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a document was read")

    monkeypatch.setattr(ShardReader, "__getitem__", refused)
    monkeypatch.setattr(ShardReader, "members", refused)
    opened(folder)
    with pytest.raises(AssertionError, match="was read"):
        opened(folder, measure=True)


def test_measuring_gives_the_same_lengths_and_the_same_plan(folder: Path, tmp_path: Path) -> None:
    indexed = opened(folder).lengths
    write_shards(tiny_documents(10), tmp_path / "plain", per_shard=4)
    measured = opened(tmp_path / "plain", measure=True).lengths
    np.testing.assert_array_equal(measured.table.lengths, indexed.table.lengths)
    np.testing.assert_array_equal(measured.table.targets, indexed.table.targets)
    assert measured.table.digest() == indexed.table.digest(), "one can go on where the other stopped"
    for number in range(10):
        assert measured.cuts.allowed(number).tolist() == indexed.cuts.allowed(number).tolist()


def test_cuts_are_never_inside_pictures_or_clips_and_know_the_targets(folder: Path) -> None:
    found = opened(folder)
    random = np.random.default_rng(0)
    for number in range(10):
        sequence, allowed = found.store[number], found.lengths.cuts.allowed(number)
        inside = np.isin(sequence.modality, (1, 2))
        assert not inside[allowed].any(), "a cut before a patch or frame"
        for _ in range(10):
            start, stop = sorted(random.choice([0, *allowed, len(sequence)], 2, replace=False).tolist())
            expected = cut(sequence, start, stop).target_counts().tolist()
            assert found.lengths.cuts.targets(number, start, stop).tolist() == expected


def test_shards_that_are_not_measured_are_an_error_that_names_the_command(tmp_path: Path) -> None:
    write_shards(tiny_documents(10), tmp_path, per_shard=4)
    write_index(tmp_path / "shard-000001.tar", LAYOUT)
    fix = f"Run `omni shards index {tmp_path} --tokenizers TOKENIZERS`, or set data.measure to true"
    with pytest.raises(ValueError) as caught:
        opened(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: the documents of 2 of 3 shards are not measured; first: shard-000000.tar. {fix} "
        f"to measure them at each start"
    )


def test_shards_measured_by_another_layout_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni.layout.RULES", 99)
    other = Layout(tiny_tokenizers())
    with pytest.raises(
        ValueError, match=r"3 of 3 shards were measured with other tokenizers; .*omni shards index"
    ):
        open_documents(str(folder), Opening(layout=other, tokenizers="T", row_length=80))


def test_another_content_is_another_table(folder: Path, tmp_path: Path, tokenizers: Path) -> None:
    """Also where all lengths are the same: a run can't go on with it."""
    before = opened(folder).lengths.table
    documents = [*tiny_documents(10)]
    documents[3], documents[3 - 3] = documents[0], documents[3]
    write_measured(documents, tmp_path / "other", tokenizers, per_shard=4)
    assert opened(tmp_path / "other").lengths.table.digest() != before.digest()
    index_folder(folder, tokenizers)
    assert opened(folder).lengths.table.digest() == before.digest()


def test_measuring_draws_no_random_numbers(folder: Path) -> None:
    """Or noise in training would depend on how often data is read."""
    before = torch.get_rng_state()
    found = opened(folder, measure=True, cache=True)
    found.store.fill(0)
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------ damage before the run


def test_documents_that_were_damaged_when_they_were_indexed_are_left_out(
    folder: Path, tokenizers: Path
) -> None:
    damage(folder, [2, 9])
    assert len(index_folder(folder, tokenizers).damaged) == 2
    found = opened(folder, max_damaged=0.2)
    assert np.flatnonzero(found.lengths.table.lengths == 0).tolist() == [2, 9]
    message = (
        f"{folder}: 2 of 10 documents were damaged when they were indexed, more than the allowed share of 0.1 "
        f"\\(data.max_damaged\\); `omni shards check {folder}` lists them"
    )
    with pytest.raises(ValueError, match=message):
        opened(folder, max_damaged=0.1)


def test_damage_found_by_measuring_is_listed(folder: Path) -> None:
    damage(folder, [2, 3, 9])
    with pytest.warns(UserWarning) as warned:
        found = opened(folder, measure=True, max_damaged=0.3)
    assert [str(one.message).partition(": damaged")[0] for one in warned] == [
        f"damaged document set aside: {folder}/shard-000000.tar[000002].json",
        f"damaged document set aside: {folder}/shard-000002.tar[000009].json",
    ]
    lines = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert [(Path(line["shard"]).name, line["key"]) for line in lines] == [
        ("shard-000000.tar", "000002"),
        ("shard-000000.tar", "000003"),
        ("shard-000002.tar", "000009"),
    ]
    assert np.flatnonzero(found.lengths.table.lengths == 0).tolist() == [2, 3, 9]
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="3 of 10 documents are damaged, more than"),
    ):
        opened(folder, measure=True, max_damaged=0.2)


# ------------------------------------------------------------------ damage while it runs


def test_a_damaged_document_is_an_error_that_says_where(folder: Path) -> None:
    found = opened(folder)
    damage(folder, [2])
    with pytest.raises(
        DocumentError, match=r"shard-000000.tar\[000002\].json: damaged, the .* bytes"
    ) as caught:
        found.store[2]
    assert (caught.value.part, caught.value.kind) == ("json", "crc")
    assert found.store[1].key == "000001"


def test_what_can_be_read_but_not_encoded_is_damaged_too(tmp_path: Path) -> None:
    """Codes that can't be of the codec that they name."""
    clip = {"type": "audio", "file": "0.flac", "codes": "0.npy", "codec": LAYOUT.tokenizers.audio.fingerprint}
    members = {
        "000000.0.flac": encode_flac(tone(1), SAMPLE_RATE),
        "000000.0.npy": npy_bytes(np.array([[1, 2, 16]], np.uint16)),
        "000000.json": json.dumps({"version": 1, "segments": [clip]}).encode(),
        "000001.json": json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}).encode(),
    }
    shard = write_tar(tmp_path / "theirs.tar", members.items())
    write_index(shard, LAYOUT)
    store = opened(tmp_path).store
    with pytest.raises(DocumentError, match="audio code 16 at frame 0, codebook 2: expected 0 to 15"):
        store[0]
    assert len(store[1]) == 3


def test_another_length_than_the_index_says_is_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(folder)
    encode = Layout.encode
    monkeypatch.setattr(Layout, "encode", lambda *args: cut(encode(*args), 0, 5))
    length = found.lengths.table.lengths[1]
    with pytest.raises(DocumentError, match=rf"tar\[000001\]: 5 positions, {length} by the index"):
        found.store[1]


def test_a_hole_is_padding(folder: Path) -> None:
    hole = opened(folder).store.hole(4)
    assert hole.modality.tolist() == [PADDING] * 4
    assert hole.target_counts().tolist() == [0, 0, 0]
    assert (hole.patches.shape, hole.codes.shape) == ((0, 16), (0, 3))


@pytest.mark.parametrize(("number", "tries"), [(errno.EIO, 3), (errno.ENOENT, 1)], ids=["passing", "missing"])
def test_errors_that_may_pass_are_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, tries: int
) -> None:
    store = opened(folder).store
    monkeypatch.setattr(store_module, "PAUSES", (0.0, 0.0))
    read, failing = store.reader.files.read, [2]
    calls: list[int] = []

    def flaky(*args: Any) -> bytes:
        calls.append(1)
        if len(calls) <= failing[0]:
            raise OSError(number, "no")
        return read(*args)

    monkeypatch.setattr(store.reader.files, "read", flaky)
    if number == errno.EIO:
        assert store[0].key == "000000"
    else:
        with pytest.raises(DocumentError, match=r"\[000000\]: can't be read"):
            store[0]
    assert len(calls) == tries
    calls.clear()
    failing[0] = 9
    with pytest.raises(DocumentError, match="can't be read"):
        store[0]
    assert len(calls) == tries


def test_the_place_of_a_document_without_its_index(folder: Path) -> None:
    """Its shard went away with its index, before it was first read."""
    found = opened(folder, max_damaged=1.0)
    index, row = found.store.reader.find(9)
    object.__setattr__(index, "head", index.head._replace(raw=b"other"))
    with pytest.raises(DocumentError) as caught:
        found.store[9]
    with pytest.warns(UserWarning, match="damaged index"):
        found.store.note(9, caught.value)
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    assert (json.loads(line)["shard"], json.loads(line)["key"]) == (str(index.shard), f"document {row}")


# ------------------------------------------------------------------ the cache


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_sequences_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr("omni.datamodules.stream.measure.PARALLEL_FROM", 5)
    store, plain = opened(folder, cache=True).store, opened(folder).store
    damage(folder, [4])
    first = store[3]
    store.fill(workers)
    damage(folder, [1, 2, 3])
    assert store.kept is not None and sorted(store.kept) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert store[3] is first is store.kept[3]
    assert store[0].key == "000000"
    assert_same(store[0], plain[0])
    for other, number in ((plain, 1), (store, 4)):
        with pytest.raises(DocumentError, match="damaged"):
            other[number]


def test_encoding_leaves_the_number_of_threads(folder: Path) -> None:
    torch.set_num_threads(2)
    opened(folder).store[2]
    assert torch.get_num_threads() == 2


def test_workers_get_no_list_of_damage(folder: Path) -> None:
    store = pickle.loads(pickle.dumps(opened(folder).store))
    assert not hasattr(store, "quarantine")
    assert store[1].key == "000001"
