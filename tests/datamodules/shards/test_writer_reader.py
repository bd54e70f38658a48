"""Shards as files: written whole or not at all, read by us and by webdataset itself."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image as PILImage

from omni.datamodules.remote.download import digest_of
from omni.datamodules.shards import index_file, shard_index
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import from_members, to_members
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.media import encode_flac
from omni.sequence import Audio, Document, Image, Text
from omni.tokenizers.audio.arrays import npy_array
from tests.tiny import SAMPLE_RATE, tiny_documents, tone, write_tar


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def described(document: Document) -> list[object]:
    """Everything that must survive: keys, roles, texts, pixels and samples (those as FLAC holds them)."""
    parts: list[object] = [document.key, document.source, document.label]
    for segment in document.segments:
        parts += [segment.role, segment.loss]
        if isinstance(segment, Text):
            parts.append(segment.text)
        elif isinstance(segment, Image):
            parts.append(segment.pixels.tolist())
        else:
            parts.append(encode_flac(segment.waveform, segment.sample_rate))
    return parts


def test_documents_come_back_in_order(tmp_path: Path) -> None:
    documents = tiny_documents(20)
    counts = write_shards(documents, tmp_path / "new" / "train", per_shard=8)
    folder = tmp_path / "new" / "train"
    assert listing(folder) == [
        "dataset.json",
        *("shard-000000.tar", "shard-000000.tar.idx"),
        *("shard-000001.tar", "shard-000001.tar.idx"),
        *("shard-000002.tar", "shard-000002.tar.idx"),
    ]
    assert counts == {
        "audio_to_image": 2,
        "audio_to_text": 3,
        "image_to_audio": 2,
        "image_to_text": 3,
        "prose": 2,
        "sum": 2,
        "text_to_audio": 3,
        "text_to_image": 3,
    }
    reader = ShardReader(folder)
    assert json.loads((folder / "dataset.json").read_text()) == {
        "documents": 20,
        "by_source": counts,
        "fingerprint": reader.fingerprint,
        "layout": None,
        "shards": [
            {
                "name": f"shard-00000{n}.tar",
                "bytes": index.size,
                "digest": digest_of(folder / f"shard-00000{n}.tar", like="sha256:"),
                "documents": documents,
            }
            for n, (index, documents) in enumerate(zip(reader.indexes, (8, 8, 4), strict=True))
        ],
    }
    assert len(reader) == 20
    for number, document in enumerate(documents):
        assert described(reader[number]) == described(document)
        assert reader.place(number) == (str(folder / f"shard-{number // 8:06d}.tar"), document.key)
    assert reader[19].where == f"{folder}/shard-000002.tar[000019]"


def test_numbers_outside_are_refused(tmp_path: Path) -> None:
    write_shards(tiny_documents(3), tmp_path)
    reader = ShardReader(tmp_path)
    for number in (-1, 3):
        with pytest.raises(IndexError, match=f"document {number} of 3"):
            reader[number]


def test_members_of_a_key_stand_together_as_webdataset_wants_them(tmp_path: Path) -> None:
    write_shards(tiny_documents(8)[6:8], tmp_path)
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        assert tar.getnames() == ["000006.json", "000007.0.png", "000007.2.flac", "000007.json"]


def test_webdataset_itself_reads_the_shards(tmp_path: Path) -> None:
    documents = tiny_documents(10)
    write_shards(documents, tmp_path, per_shard=4)
    urls = sorted(str(path) for path in tmp_path.glob("*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [document.key for document in documents]
    for sample, document in zip(samples, documents, strict=True):
        members = {name: content for name, content in sample.items() if not name.startswith("__")}
        assert described(from_members(document.key, members, "s.tar")) == described(document)


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_shards(tiny_documents(8), tmp_path / name)
    first, second = ((tmp_path / name / "shard-000000.tar").read_bytes() for name in ("first", "second"))
    assert first == second


def test_shards_appear_only_when_all_are_whole(tmp_path: Path) -> None:
    seen = []

    def documents() -> Iterator[Document]:
        for document in tiny_documents(10):
            seen.append(listing(tmp_path))
            yield document

    write_shards(documents(), tmp_path, per_shard=4)
    assert not any(name.endswith((".tar", ".idx", ".json")) for names in seen for name in names)
    assert seen[-1] == [".writing"]
    assert listing(tmp_path) == [
        "dataset.json",
        *(f"shard-00000{n}.tar{suffix}" for n in range(3) for suffix in ("", ".idx")),
    ]


def test_a_failed_writing_leaves_the_old_shards(tmp_path: Path) -> None:
    write_shards(tiny_documents(8), tmp_path, per_shard=4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def documents() -> Iterator[Document]:
        yield from tiny_documents(5, seed=1)
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        write_shards(documents(), tmp_path, per_shard=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_shards_of_an_earlier_writing_are_replaced(tmp_path: Path) -> None:
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / "000007.tar").write_bytes(b"left by a crash")
    (tmp_path / "own.txt").write_text("not ours to delete")
    write_shards(tiny_documents(8), tmp_path, per_shard=2)
    write_shards(tiny_documents(3, seed=1), tmp_path, per_shard=2)
    assert listing(tmp_path) == [
        "dataset.json",
        "own.txt",
        *("shard-000000.tar", "shard-000000.tar.idx"),
        *("shard-000001.tar", "shard-000001.tar.idx"),
    ]
    reader = ShardReader(tmp_path)
    assert [described(reader[n]) for n in range(3)] == [described(d) for d in tiny_documents(3, seed=1)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["a", "b", "a"], "document key 'a' comes twice; keys must be unique"),
        (["a.b"], r"document key 'a\.b': expected a file name without dots"),
        ([""], "document key '': expected a file name"),
        (["a/"], "document key 'a/': expected a file name"),
        (["/a"], "document key '/a': expected a file name"),
        (["a\nb"], r"document key 'a\\nb': expected a file name"),
        (["__a__/b"], "document key '__a__/b': expected a file name"),
    ],
)
def test_keys_that_would_not_come_back_are_refused(tmp_path: Path, keys: list[str], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        write_shards([Document((Text("a"),), key=key) for key in keys], tmp_path)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("key", ["train/000001", "two words", "é漢", "k" * 150, "train-0.v2/000001"])
def test_odd_keys_come_back(tmp_path: Path, key: str) -> None:
    write_shards([Document((Text("a"),), key=key)], tmp_path)
    assert ShardReader(tmp_path)[0].key == key
    (sample,) = webdataset.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False)
    assert sample["__key__"] == key


def test_odd_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer takes its pattern as a URL and as a format string."""
    monkeypatch.chdir(tmp_path)
    folder = Path("run:1/50%d of it")
    write_shards(tiny_documents(2), folder)
    assert len(ShardReader(folder)) == 2


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no documents to write"):
        write_shards([], tmp_path)
    with pytest.raises(ValueError, match="per_shard must be at least 1 document, got 0"):
        write_shards(tiny_documents(2), tmp_path, per_shard=0)
    assert listing(tmp_path) == []


def test_an_unstorable_document_is_named(tmp_path: Path) -> None:
    bad = Document((Audio(np.zeros(0, np.float32), 8000),), key="000009")
    with pytest.raises(DocumentError, match=r"document\[000009\]\.segments\[0\]: .*zero-length audio"):
        write_shards([bad], tmp_path)


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"nowhere: no shards \(\*\.tar\) here; `omni demo --until data`"):
        ShardReader(tmp_path / "nowhere")


def test_damage_is_named_by_shard_key_part_and_offset(tmp_path: Path) -> None:
    write_shards(tiny_documents(4), tmp_path)
    shard = tmp_path / "shard-000000.tar"
    reader = ShardReader(tmp_path)
    offset, size = reader.indexes[0].entry(2).members["0.flac"]
    content = bytearray(shard.read_bytes())
    content[offset + size // 2] ^= 4
    shard.write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        reader[2]
    assert re.fullmatch(
        rf"{shard}\[000002\]\.0\.flac: damaged, the {size} bytes at byte {offset} have crc32 \w{{8}}, "
        r"not \w{8} as when they were indexed",
        str(caught.value),
    )
    assert (caught.value.part, caught.value.offset, caught.value.kind) == ("0.flac", offset, "crc")
    assert [reader[n].key for n in (0, 1, 3)] == ["000000", "000001", "000003"]


def test_what_was_no_good_when_it_was_indexed_is_named_too(tmp_path: Path) -> None:
    head = {"version": 1, "segments": [{"type": "image", "file": "0.png", "width": 1, "height": 1}]}
    members = [("a.json", json.dumps(head).encode()), ("a.0.png", b"no picture")]
    shard = write_tar(tmp_path / "theirs.tar", members)
    write_index(shard)
    with pytest.raises(DocumentError) as caught:
        ShardReader(tmp_path)[0]
    assert str(caught.value).startswith(f"{shard}[a].segments[0].file '0.png': 10 bytes: not a picture")
    assert (caught.value.part, caught.value.offset, caught.value.kind) == ("0.png", 1536, "decode")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.part, again.offset) == (str(caught.value), "0.png", 1536)


def test_a_shard_cut_off_while_it_is_read_is_named(tmp_path: Path) -> None:
    write_shards(tiny_documents(4), tmp_path)
    reader = ShardReader(tmp_path)
    shard = tmp_path / "shard-000000.tar"
    offset, size = reader.indexes[0].entry(3).members["json"]
    shard.write_bytes(shard.read_bytes()[: offset + 10])
    with pytest.raises(DocumentError) as caught:
        reader[3]
    assert str(caught.value) == f"{shard}[000003].json: truncated, 10 of {size} bytes at byte {offset}"


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of shards must not run into the limit of open files."""
    write_shards(tiny_documents(30), tmp_path, per_shard=1)
    reader = ShardReader(tmp_path)
    reader.files.most = 3
    monkeypatch.setattr(index_file, "map_index", lru_cache(3)(index_file.map_index.__wrapped__))
    monkeypatch.setattr(shard_index, "map_index", index_file.map_index)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [reader[n].key for n in range(30)] == [f"{n:06d}" for n in range(30)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 6


def test_a_reader_can_be_sent_to_another_process(tmp_path: Path) -> None:
    write_shards(tiny_documents(5), tmp_path, per_shard=2)
    reader = ShardReader(tmp_path)
    reader[4]
    assert described(pickle.loads(pickle.dumps(reader))[4]) == described(tiny_documents(5)[4])


def test_members_far_apart_are_read_one_by_one(tmp_path: Path) -> None:
    head = json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}).encode()
    members = [("a.json", head), ("__far__/x", bytes(1 << 20)), ("a.txt", b"b")]
    write_index(write_tar(tmp_path / "theirs.tar", members))
    assert ShardReader(tmp_path).members(0) == {"json": head, "txt": b"b"}


def test_codes_are_kept_with_their_codec(tmp_path: Path) -> None:
    codes = np.array([[1, 2, 3], [4, 5, 65535]])
    clip = Audio(tone(1, 0.08), SAMPLE_RATE, codes)
    write_shards([Document((clip,), key="a")], tmp_path, codec="ours")
    members = ShardReader(tmp_path).members(0)
    assert sorted(members) == ["0.flac", "0.npy", "json"]
    assert npy_array(members["0.npy"]).dtype == np.uint16
    entry = json.loads(members["json"])["segments"][0]
    names = ("codes", "frames", "codebooks", "codec")
    assert [entry[name] for name in names] == ["0.npy", 2, 3, "ours"]
    (same,), (other,) = (ShardReader(tmp_path, codec)[0].segments for codec in ("ours", "theirs"))
    assert isinstance(same, Audio) and same.codes is not None and same.codes.tolist() == codes.tolist()
    assert isinstance(other, Audio) and other.codes is None
    with pytest.raises(DocumentError, match="codes from 0 to 65536, a shard keeps 0 to 65535"):
        to_members(Document((replace(clip, codes=np.array([[0, 65536]])),)), "ours")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_json_may_stand_anywhere_in_its_group(tmp_path: Path, place: int) -> None:
    (document,) = tiny_documents(8)[7:]
    head, *media = sorted(to_members(document).items(), key=lambda member: member[0] != "json")
    members = [*media[:place], head, *media[place:]]
    write_index(
        write_tar(tmp_path / "theirs.tar", [(f"{document.key}.{name}", data) for name, data in members])
    )
    assert described(ShardReader(tmp_path)[0]) == described(document)


def test_pictures_may_be_of_any_format(tmp_path: Path) -> None:
    """Shards that other programs wrote: JPEG, JSON first, only what is needed."""
    buffer = io.BytesIO()
    PILImage.new("L", (6, 4), 128).save(buffer, format="JPEG")
    head = {"version": 1, "segments": [{"type": "image", "file": "jpg"}, {"type": "text", "text": "Grey."}]}
    members = [("x.json", json.dumps(head).encode()), ("x.jpg", buffer.getvalue())]
    write_index(write_tar(tmp_path / "theirs.tar", members))
    (image, text) = ShardReader(tmp_path)[0].segments
    assert isinstance(image, Image) and image.pixels.shape == (4, 6, 3)
    assert text == Text("Grey.")
