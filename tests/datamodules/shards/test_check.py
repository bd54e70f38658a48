"""What ``check`` finds: every damaged part, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.shards.check import check_shards
from omni.datamodules.shards.damage import Damage
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.shard_index import index_path
from omni.datamodules.shards.writer import write_shards
from omni.media import encode_png
from omni.tokenizers.audio.arrays import npy_bytes
from tests.tiny import picture, tiny_documents, write_tar

FIRST = "shard-000000.tar"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of five documents."""
    write_shards(tiny_documents(10), tmp_path, per_shard=5)
    return tmp_path


def found(folder: Path, decode: bool = False) -> list[tuple[str, str | None, str | None, str]]:
    """Shard, key, part and kind of all that is damaged; and nothing was written."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damaged = check_shards(folder, decode).damaged
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return [(Path(one.shard).name, one.key, one.part, one.kind) for one in damaged]


def flip(folder: Path, row: int, part: str, header: bool = False) -> None:
    """Flip a bit in the middle of a member of the first shard, or in its header's name."""
    offset, size = ShardReader(folder).indexes[0].entry(row).members[part]
    content = bytearray((folder / FIRST).read_bytes())
    content[offset - 510 if header else offset + size // 2] ^= 1
    (folder / FIRST).write_bytes(content)


@pytest.mark.parametrize("decode", [False, True])
def test_whole_shards(folder: Path, decode: bool) -> None:
    check = check_shards(folder, decode)
    assert check.figures() == {
        "shards": 2,
        "documents": 10,
        "by_source": {
            "image_to_text": 2,
            "text_to_image": 2,
            "audio_to_text": 1,
            "text_to_audio": 1,
            "image_to_audio": 1,
            "audio_to_image": 1,
            "prose": 1,
            "sum": 1,
        },
        "by_modality": {"image": 7, "text": 18, "audio": 5},
        "damaged": [],
    }


def test_flipped_bits_in_content(folder: Path) -> None:
    for row, part in ((0, "0.png"), (2, "json"), (4, "0.png"), (4, "2.flac")):
        flip(folder, row, part)
    assert found(folder) == [
        (FIRST, "000000", "0.png", "crc"),
        (FIRST, "000002", "json", "crc"),
        (FIRST, "000004", "0.png", "crc"),
        (FIRST, "000004", "2.flac", "crc"),
    ]


def test_flipped_bits_in_headers_hide_nothing_that_follows(folder: Path) -> None:
    flip(folder, 1, "2.png", header=True)
    flip(folder, 3, "json", header=True)
    flip(folder, 4, "json")
    assert found(folder) == [
        (FIRST, "000001", "2.png", "header"),
        (FIRST, "000003", "json", "header"),
        (FIRST, "000004", "json", "crc"),
    ]


def test_a_truncated_shard(folder: Path) -> None:
    entry = ShardReader(folder).indexes[0].entry(4)
    offset, size = entry.members["2.flac"]
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes()[: offset + size - 1])
    assert found(folder) == [(FIRST, "000004", "2.flac", "crc"), (FIRST, "000004", "json", "crc")]


def test_a_shard_that_lost_only_its_end(folder: Path) -> None:
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes()[:-512])
    assert found(folder) == [(FIRST, None, None, "tar")]


def test_an_emptied_shard_loses_every_part(folder: Path) -> None:
    index = ShardReader(folder).indexes[0]
    (folder / FIRST).write_bytes(b"")
    parts = [(index.key(row), part.suffix) for row in range(5) for part in index.parts(row)]
    assert found(folder) == [(FIRST, key, part, "crc") for key, part in parts]


def test_a_rewritten_shard_of_the_same_size_is_stale_and_not_damaged(tmp_path: Path) -> None:
    def shard(key: str) -> Path:
        head = {"version": 1, "segments": [{"type": "text", "text": "a"}]}
        return write_tar(tmp_path / "a.tar", [(f"{key}.json", json.dumps(head).encode())])

    write_index(shard("first"))
    shard("other")
    assert found(tmp_path) == [("a.tar", None, None, "index")]
    (damage,) = check_shards(tmp_path).damaged
    assert damage.error == (
        f"{tmp_path}/a.tar.idx: stale index: a.tar has other members than were indexed; if it was rewritten on "
        f"purpose, `omni shards index {tmp_path}` writes it anew"
    )


def test_missing_and_damaged_indexes(folder: Path) -> None:
    index_path(folder / FIRST).unlink()
    second = index_path(folder / "shard-000001.tar")
    content = bytearray(second.read_bytes())
    content[200] ^= 1  # in a crc: it must not pass for damage of the part
    second.write_bytes(content)
    assert found(folder) == [(FIRST, None, None, "index"), ("shard-000001.tar", None, None, "index")]


def test_a_key_in_two_shards(folder: Path) -> None:
    again = write_tar(folder / "z.tar", [])
    again.write_bytes((folder / FIRST).read_bytes())
    write_index(again)
    assert found(folder) == [("z.tar", f"00000{n}", None, "key") for n in range(5)]


def test_a_key_that_comes_twice_in_a_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [(name, b"{}") for name in ("a.json", "b.json", "a.png", "a.png")])
    assert found(tmp_path) == [
        ("a.tar", "a", "png", "key"),
        ("a.tar", "a", "png", "key"),
        ("a.tar", None, None, "index"),
    ]


def theirs(folder: Path, *segments: object, **media: bytes) -> None:
    """A shard with one document; ``_`` in names of media stands for a dot."""
    head = json.dumps({"version": 1, "segments": segments}).encode()
    members: Iterable[tuple[str, bytes]] = (
        (f"k.{name[1:].replace('_', '.')}", data) for name, data in media.items()
    )
    write_index(write_tar(folder / "a.tar", [("k.json", head), *members]))


IMAGE = {"type": "image", "file": "0.png", "width": 8, "height": 8}
GOOD = encode_png(picture(1))


def test_dangling_and_missing_files(tmp_path: Path) -> None:
    clip = {
        "type": "audio",
        "file": "1.wav",
        "codes": "1.npy",
        "codec": "ours",
        "samples": 8,
        "sample_rate": 8000,
    }
    theirs(tmp_path, IMAGE, clip, _0_png=GOOD, _2_png=GOOD, _txt=b"")
    assert found(tmp_path) == [
        ("a.tar", "k", "1.wav", "missing"),
        ("a.tar", "k", "1.npy", "missing"),
        ("a.tar", "k", "2.png", "dangling"),
        ("a.tar", "k", "txt", "dangling"),
    ]


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        ({"type": "vido"}, "schema"),
        ("text", "schema"),
        ({"type": "text"}, "schema"),
        ({"type": "text", "text": "a", "role": "bot"}, "schema"),
        (IMAGE | {"width": 0}, "schema"),
        (IMAGE | {"width": "8"}, "schema"),
    ],
)
def test_fields_against_the_schema(tmp_path: Path, segment: object, kind: str) -> None:
    theirs(tmp_path, segment, IMAGE, _0_png=GOOD)
    assert found(tmp_path) == [("a.tar", "k", "json", kind)]


def test_what_only_decoding_shows(tmp_path: Path) -> None:
    clip = {"type": "audio", "file": "1.wav", "samples": 8, "sample_rate": 8000}
    other = IMAGE | {"file": "2.png", "width": 9}
    theirs(tmp_path, IMAGE, clip, other, _0_png=GOOD[:-40], _1_wav=b"RIFF", _2_png=GOOD)
    assert found(tmp_path) == []
    assert found(tmp_path, decode=True) == [
        ("a.tar", "k", name, "decode") for name in ("0.png", "1.wav", "2.png")
    ]


def test_codes_are_decoded_whatever_their_codec(tmp_path: Path) -> None:
    clip = {
        "type": "audio",
        "file": "0.png",
        "samples": 8,
        "sample_rate": 8000,
        "codec": "x",
        "codes": "0.npy",
    }
    theirs(
        tmp_path,
        clip | {"frames": 1, "codebooks": 2},
        _0_png=b"",
        _0_npy=npy_bytes(np.zeros((1, 2), np.uint16)),
    )
    assert found(tmp_path) == []
    theirs(tmp_path, clip, _0_png=b"", _0_npy=b"no array")
    assert found(tmp_path) == [("a.tar", "k", "0.npy", "decode")]


def test_a_document_without_json_or_with_a_bad_one(tmp_path: Path) -> None:
    write_index(write_tar(tmp_path / "a.tar", [("a.png", GOOD), ("b.json", b"{")]))
    assert found(tmp_path) == [("a.tar", "a", "json", "missing"), ("a.tar", "b", "json", "schema")]


def test_several_processes_find_the_same(folder: Path) -> None:
    flip(folder, 0, "0.png")
    alone: list[Damage] = check_shards(folder).damaged
    assert check_shards(folder, workers=2).damaged == alone
    assert len(alone) == 1
