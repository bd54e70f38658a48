"""Merged and shuffled shards: every byte of every file, in an order that depends on the seed alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.shards import parallel
from omni.datamodules.shards.copying import copy_shards
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import Members, write_shards
from omni.layout import Layout
from tests.tiny import tiny_documents, tiny_tokenizers, write_tar


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """23 documents in three shards."""
    write_shards(tiny_documents(23), tmp_path / "source", per_shard=9)
    return tmp_path / "source"


def documents(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    reader = ShardReader(folder)
    return [(reader.place(number)[1], reader.members(number)) for number in range(len(reader))]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_merging_copies_every_byte_in_order(source: Path, tmp_path: Path) -> None:
    write_shards(tiny_documents(30)[23:], tmp_path / "more")
    written = copy_shards([source, tmp_path / "more"], tmp_path / "out", per_shard=8)
    assert written.documents == 30
    assert [len(index) for index in ShardReader(tmp_path / "out").indexes] == [8, 8, 8, 6]
    assert documents(tmp_path / "out") == documents(source) + documents(tmp_path / "more")


def test_foreign_files_stay_as_they_are(tmp_path: Path) -> None:
    """A JPEG is not made a PNG, gzip not gzipped again, files nobody names are kept."""
    head = json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}, indent=3).encode()
    members = [("a.b/x.json", head), ("a.b/x.jpg", b"\xff\xd8\xff no picture"), ("a.b/x.extra.gz", b"raw")]
    (tmp_path / "theirs").mkdir()
    write_index(write_tar(tmp_path / "theirs" / "t.tar", members))
    copy_shards([tmp_path / "theirs"], tmp_path / "out")
    assert documents(tmp_path / "out") == [
        ("a.b/x", {"extra.gz": b"raw", "jpg": b"\xff\xd8\xff no picture", "json": head})
    ]


def test_a_member_that_webdataset_would_lose_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"document key 'a': its member '_x' can't be copied"):
        write_shards([Members("a", {"json": b"{}", "_x": b""})], tmp_path)


def test_a_shuffle_is_a_function_of_the_seed(source: Path, tmp_path: Path) -> None:
    shuffle: Callable[..., object] = partial(copy_shards, [source], per_shard=6)
    shuffle(tmp_path / "a", seed=1)
    shuffle(tmp_path / "b", seed=2)
    first, second = documents(tmp_path / "a"), documents(tmp_path / "b")
    assert sorted(first) == sorted(second) == sorted(documents(source))
    assert first != second and first != documents(source)
    assert [key for key, _ in first[:8]] == [f"{n:06d}" for n in (1, 0, 11, 13, 22, 16, 12, 4)]


@pytest.mark.timeout(300)
def test_processes_change_nothing(source: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        copy_shards([source], tmp_path / str(workers), seed=5, per_shard=12, workers=workers)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_a_copy_that_was_stopped_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_shards([source], tmp_path / "whole", seed=0, per_shard=10)
    write_tars: Callable[..., int] = parallel.write_tars
    begun = list[int]()

    def stopped(*arguments: Any, first: int) -> int:
        begun.append(first)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return write_tars(*arguments, first=first)

    monkeypatch.setattr(parallel, "write_tars", stopped)
    with pytest.raises(KeyboardInterrupt):
        copy_shards([source], tmp_path / "out", seed=0, per_shard=10)
    told: list[int] = []
    copy_shards([source], tmp_path / "out", seed=0, per_shard=10, report=told.append)
    assert begun == [0, 1, 1, 2] and told == [1, 2, 3]
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_copies_can_be_measured(source: Path, tmp_path: Path) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    copy_shards([source], tmp_path / "out", tokenizers=tmp_path / "tokenizers")
    layout = Layout(tiny_tokenizers())
    (index,) = ShardReader(tmp_path / "out").indexes
    assert index.layout == layout.fingerprint
    assert index.positions.sum(1).tolist() == [len(layout.encode(one)) for one in tiny_documents(23)]


def test_the_same_keys_in_two_folders(source: Path, tmp_path: Path) -> None:
    write_shards(tiny_documents(3, seed=1), tmp_path / "more")
    with pytest.raises(
        DocumentError, match=r"3 documents have a key .* first: .*more/shard-000000\.tar\[000000\]"
    ):
        copy_shards([source, tmp_path / "more"], tmp_path / "out")
    copy_shards([source, tmp_path / "more"], tmp_path / "out", number_keys=True)
    assert [key for key, _ in documents(tmp_path / "out")[22:]] == [
        "0/000022",
        "1/000000",
        "1/000001",
        "1/000002",
    ]


def test_damage_is_never_copied(source: Path, tmp_path: Path) -> None:
    shard = source / "shard-000001.tar"
    offset, _ = ShardReader(source).indexes[1].entry(0).members["json"]
    content = bytearray(shard.read_bytes())
    content[offset] ^= 1
    shard.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"1 of 3 shards failed.*\[000009\]\.json: damaged.*quarantine FOLDER --list"
    ):
        copy_shards([source], tmp_path / "out", per_shard=9)
    assert not list((tmp_path / "out").glob("*.tar"))


def test_wrong_arguments(source: Path) -> None:
    with pytest.raises(ValueError, match="SRC and OUT are the same folder"):
        copy_shards([source], source)
    with pytest.raises(ValueError, match="per_shard must be at least 1 document, got 0"):
        copy_shards([source], source / "out", per_shard=0)
