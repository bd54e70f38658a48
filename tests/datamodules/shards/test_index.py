"""The index of a shard: what it holds, shown whole, and which tars and indexes are refused."""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.index_file import HEADER
from omni.datamodules.shards.reader import read_members
from omni.datamodules.shards.scan import scan_shard, split_name
from omni.datamodules.shards.shard_index import Part, index_path, read_index
from omni.datamodules.shards.tar_files import TarFiles
from omni.datamodules.shards.writer import write_shards
from omni.layout import Layout
from tests.tiny import tiny_documents, tiny_tokenizers, write_tar

TEXT = json.dumps({"version": 1, "source": "s", "segments": [{"type": "text", "text": "a"}]}).encode()
MEMBERS = {"000000.json": TEXT, "000000.1.png": b"picture", "000001.json": b"[]"}


def test_index_of_a_shard(tmp_path: Path) -> None:
    """A tar is blocks of 512 bytes: a header before each member, zeros behind the last."""
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    indexed = write_index(shard)
    index = indexed.index
    assert [index.parts(row) for row in range(len(index))] == [
        [Part("json", 512, len(TEXT), zlib.crc32(TEXT)), Part("1.png", 1536, 7, zlib.crc32(b"picture"))],
        [Part("json", 2560, 2, zlib.crc32(b"[]"))],
    ]
    assert [(index.key(row), index.source(row)) for row in (0, 1)] == [("000000", "s"), ("000001", "unknown")]
    arrays = index.arrays
    assert arrays.parts["document"].tolist() == [0, 0, 1]
    assert arrays.documents["first_part"].tolist() == [0, 2, 3]
    assert arrays.documents["key"].tolist() == [0, 6, 12]
    assert arrays.keys.tobytes() == b"000000000001"
    assert (arrays.suffixes, arrays.sources) == (("json", "1.png"), ("s", "unknown"))
    assert (index.size, index.layout, len(arrays.positions)) == (10240, None, 0)
    assert [damage.error for damage in indexed.damaged] == [
        f"{shard}[000001].json: expected a JSON object with segments, got []"
    ]
    size = index_path(shard).stat().st_size
    assert size == HEADER.itemsize + 3 * 28 + 3 * 16 + 12 + len('[["json", "1.png"], ["s", "unknown"]]')
    assert [index.entry(row) for row in (0, 1)] == scan_shard(shard).entries
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-0.tar", "train-0.tar.idx"]


def test_measured_documents(tmp_path: Path) -> None:
    write_shards(tiny_documents(9), tmp_path)
    shard, layout = tmp_path / "shard-000000.tar", Layout(tiny_tokenizers())
    with pytest.raises(DocumentError) as caught:
        read_index(shard).positions  # noqa: B018
    assert str(caught.value) == (
        f"{shard}.idx: the documents are not measured; `omni shards index {tmp_path} --tokenizers DIR` does it"
    )
    index = write_index(shard, layout).index
    assert index.layout == layout.fingerprint
    for row, document in enumerate(tiny_documents(9)):
        sequence = layout.encode(document)
        assert index.positions[row].sum() == len(sequence)
        assert index.targets[row].tolist() == sequence.target_counts().tolist()


def test_damaged_documents_have_no_positions(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    indexed = write_index(shard, Layout(tiny_tokenizers()))
    assert indexed.index.positions.tolist() == [[3, 0, 0], [0, 0, 0]]
    assert [(damage.key, damage.part) for damage in indexed.damaged] == [("000001", "json")]


def test_an_empty_shard(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", [])
    index = write_index(shard, Layout(tiny_tokenizers())).index
    assert (len(index), index.positions.shape, index.arrays.documents["first_part"].tolist()) == (
        0,
        (0, 3),
        [0],
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000001.json", ("000001", "json")),
        ("000001.0.png", ("000001", "0.png")),
        ("a.b/000001.0.png", ("a.b/000001", "0.png")),
        ("./000001.json", ("./000001", "json")),
        ("two words.json", ("two words", "json")),
        ("000001", None),
        ("._000001.json", None),
        ("a/.hidden", None),
        ("__meta__.json", ("__meta__", "json")),
        ("__meta__", None),
        ("__meta__/x.json", None),
    ],
)
def test_names_are_cut_as_webdataset_cuts_them(name: str, expected: tuple[str, str] | None) -> None:
    assert split_name(name) == expected


def test_what_is_no_member_is_passed_over(tmp_path: Path) -> None:
    shard = tmp_path / "train-0.tar"
    with tarfile.open(shard, "w") as tar:
        folder = tarfile.TarInfo("data")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ("._000000.json", "data/000000.json", "README"):
            tar.addfile(tarfile.TarInfo(name))
    assert [(entry.key, list(entry.members)) for entry in scan_shard(shard).entries] == [
        ("data/000000", ["json"])
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["a.json", "b.json", "a.png"],
            "train-0.tar[a]: duplicate key, or its members are not contiguous",
        ),
        (["a.json", "b.json", "a.json"], "train-0.tar[a]: duplicate key"),
        (["a.json", "a.json"], "train-0.tar[a].json: this member comes twice; duplicate key?"),
    ],
    ids=["not contiguous", "duplicate key", "duplicate key, neighbours"],
)
def test_duplicate_keys_are_named(tmp_path: Path, names: list[str], message: str) -> None:
    shard = write_tar(tmp_path / "train-0.tar", [(name, b"{}") for name in names])
    with pytest.raises(DocumentError, match=re.escape(message)):
        write_index(shard)
    assert not index_path(shard).exists()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "damaged or truncated tar before the first key (empty file)"),
        (300, "damaged or truncated tar before the first key"),
        (512, "truncated tar, 000000.json ends at byte 586 of 512"),
        (1024, "damaged or truncated tar after key '000000': at byte 1024"),
        (1100, "damaged or truncated tar after key '000000': at byte 1024"),
        (1540, "truncated tar, 000000.1.png ends at byte 1543 of 1540"),
        (3072, "damaged or truncated tar after key '000001': at byte 3072"),
    ],
)
def test_a_truncated_tar_is_refused_wherever_it_is_cut(tmp_path: Path, size: int, message: str) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(DocumentError) as caught:
        write_index(shard)
    assert str(caught.value).startswith(f"{shard}: {message}")


def test_a_damaged_header_does_not_hide_what_follows(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    content = bytearray(shard.read_bytes())
    content[2048] ^= 1  # in the header of 000001.json
    shard.write_bytes(content)
    with pytest.raises(DocumentError, match="after key '000000': at byte 2048 there is neither a member"):
        write_index(shard)


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    shard = tmp_path / "train-0.tar"
    shard.write_bytes(b"no tar " * 200)
    with pytest.raises(DocumentError, match=r"train-0\.tar: damaged or truncated tar before the first key"):
        write_index(shard)


def test_a_missing_index_says_how_to_make_it(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    with pytest.raises(DocumentError) as caught:
        read_index(shard)
    assert str(caught.value) == (
        f"{shard}.idx: no index for this shard; `omni shards index {tmp_path}` writes it anew"
    )


def test_an_index_of_another_size_is_stale(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    write_index(shard)
    shard.write_bytes(shard.read_bytes()[:1540])
    with pytest.raises(DocumentError) as caught:
        read_index(shard)
    assert str(caught.value) == (
        f"{shard}.idx: stale index or truncated tar: train-0.tar had 10240 bytes, now has 1540; "
        f"if it was rewritten on purpose, `omni shards index {tmp_path}` writes it anew"
    )


@pytest.mark.parametrize("content", [b"", b'{"size": 10240}', b"OMNI.IDX" * 30])
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    index_path(shard).write_bytes(content)
    with pytest.raises(DocumentError, match=r"train-0\.tar\.idx: damaged index .*`omni shards index"):
        read_index(shard)


def test_a_cut_or_flipped_index_is_refused(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    write_index(shard)
    whole = index_path(shard).read_bytes()
    index_path(shard).write_bytes(whole[:-1])
    with pytest.raises(DocumentError, match=f"damaged index .{len(whole) - 1} bytes, expected {len(whole)}"):
        read_index(shard)
    for place in np.random.default_rng(0).choice(len(whole), 40, replace=False):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        index_path(shard).write_bytes(flipped)
        with pytest.raises(DocumentError, match="damaged index"):
            read_index(shard).verify()


def test_an_index_that_is_replaced_while_it_is_in_use_is_refused(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    index = write_index(shard).index
    write_index(shard, Layout(tiny_tokenizers()))
    with pytest.raises(DocumentError, match="the index was written anew while it was in use"):
        index.key(0)


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"000009.json": TEXT}, f"found 000009.json of {len(TEXT)} bytes"),
        ({"000000.json": b"{   }"}, "found 000000.json of 5 bytes"),
        ({}, "found end of file header"),
    ],
    ids=["other key", "other size", "no header"],
)
def test_a_stale_index_of_the_same_size_is_found_on_reading(
    tmp_path: Path, members: dict[str, bytes], found: str
) -> None:
    """Tars are padded to 10240 bytes, so their size alone tells little."""
    shard = write_tar(tmp_path / "train-0.tar", MEMBERS.items())
    write_index(shard)
    write_tar(shard, members.items())
    with pytest.raises(DocumentError) as caught:
        read_members(TarFiles(), read_index(shard), 0)
    message = str(caught.value)
    assert message.startswith(
        f"{shard}[000000].json: stale index or damaged tar: expected 000000.json of {len(TEXT)} bytes at byte 512, "
    )
    assert found in message
    assert f"`omni shards index {tmp_path}` writes it anew" in message


def test_lengths_are_read_without_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any part of them, as the map has them; what a run needs of an index at its start."""
    write_shards(tiny_documents(12), tmp_path)
    index = write_index(tmp_path / "shard-000000.tar", Layout(tiny_tokenizers())).index
    positions, targets = index.positions.copy(), index.targets.copy()
    monkeypatch.setattr("omni.datamodules.shards.shard_index.map_index", lambda *_: pytest.fail("mapped"))
    for start, stop in ((0, 12), (3, 7), (12, 12)):
        found = index.read_lengths(start, stop)
        assert np.array_equal(found[0], positions[start:stop])
        assert np.array_equal(found[1], targets[start:stop])
    path = index_path(index.shard)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
    with pytest.raises(DocumentError, match=r"damaged index \(it ends before the lengths of document 12\)"):
        index.read_lengths(0, 12)
