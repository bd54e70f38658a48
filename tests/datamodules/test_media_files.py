"""What is found in folders and shards, what is read of it, and what is set aside."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from omni.datamodules.media_files import (
    SOUND_SUFFIXES,
    MediaFile,
    Unreadable,
    media_files,
    pieces,
    read_sounds,
    read_texts,
)
from omni.datamodules.shards.writer import write_shards
from omni.media import encode_flac, write_wav
from omni.sequence import Audio, Document, Text
from tests.tiny import tone


def unshown(files: list[MediaFile]) -> Iterable[MediaFile]:
    return files


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files and a shard of two clips, with other files between them."""
    (tmp_path / "deep").mkdir()
    write_wav(tmp_path / "b.WAV", tone(1, seconds=0.1), 8_000)
    (tmp_path / "deep" / "a.flac").write_bytes(encode_flac(tone(2, seconds=0.2), 16_000))
    (tmp_path / "notes.txt").write_text("no sound\n")
    three, four = (encode_flac(tone(digit, seconds=0.3), 8_000) for digit in (3, 4))
    members = {"3.flac": three, "3.json": b'{"text": "three"}', "4.flac": four}
    write_tar(tmp_path / "deep" / "z.tar", members)
    return tmp_path


def test_files_are_found_in_folders_and_shards(folder: Path) -> None:
    found = media_files(folder, SOUND_SUFFIXES, SOUND_SUFFIXES, Unreadable())
    assert [str(file).removeprefix(f"{folder}/") for file in found] == [
        "b.WAV",
        "deep/a.flac",
        "deep/z.tar[3.flac]",
        "deep/z.tar[4.flac]",
    ]
    assert found[3].read() == encode_flac(tone(4, seconds=0.3), 8_000)
    assert media_files(folder / "b.WAV", SOUND_SUFFIXES, SOUND_SUFFIXES, Unreadable()) == [found[0]]
    assert media_files(folder / "deep" / "z.tar", SOUND_SUFFIXES, SOUND_SUFFIXES, Unreadable()) == found[2:]


def test_sounds_are_read_at_one_rate_in_an_order_of_the_seed(folder: Path) -> None:
    def lengths(seed: int, seconds: float = 100.0) -> list[int]:
        return [len(wave) for wave in read_sounds(folder, 8_000, seed, seconds, Unreadable(), unshown)]

    assert sorted(lengths(0)) == [800, 800, 2_400, 2_400]  # a.flac has 0.2 s at 8 kHz, said to be at 16 kHz
    assert lengths(0) == lengths(0)
    assert len({tuple(lengths(seed)) for seed in range(8)}) > 1
    assert lengths(0, seconds=0.15) == lengths(0)[: len(lengths(0, seconds=0.15))]
    assert len(lengths(0, seconds=0.15)) in (1, 2)


def test_unreadable_files_are_counted_and_the_first_is_named(folder: Path) -> None:
    (folder / "bad.wav").write_bytes(b"RIFF")
    (folder / "cut.tar").write_bytes((folder / "deep" / "z.tar").read_bytes()[:700])
    unreadable = Unreadable()
    assert len(read_sounds(folder, 8_000, 0, 100.0, unreadable, unshown)) == 4
    assert len(unreadable.messages) == 2
    assert str(unreadable).startswith(f"2 unreadable; first: {folder}/cut.tar: truncated tar, 3.flac ends")
    assert unreadable.messages[1].startswith(f"{folder}/bad.wav: 4 bytes: ")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        media_files(tmp_path / "nowhere", SOUND_SUFFIXES, SOUND_SUFFIXES, Unreadable())
    with pytest.raises(ValueError, match=r"no files \*.wav, \*.flac, \*.ogg, \*.mp3, nor shards with \*.wav"):
        media_files(tmp_path, SOUND_SUFFIXES, SOUND_SUFFIXES, Unreadable())
    (tmp_path / "bad.wav").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"none of 1 sound files can be used; 1 unreadable; first: .*bad.wav"
    ):
        read_sounds(tmp_path, 8_000, 0, 100.0, Unreadable(), unshown)


def test_texts_of_files_lines_and_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\nfile\n")
    (tmp_path / "b.jsonl").write_text(
        '{"text": "line\u2028one"}\n\n{"segments": [{"type": "text", "text": "two"}]}\n'
    )
    (tmp_path / "dataset.json").write_text(json.dumps({"documents": 1}))
    audio = Audio(np.zeros(80, np.float32), 8_000)
    write_shards([Document((Text("what is said?"), audio, Text("nothing")), key="0")], tmp_path / "shards")
    unreadable = Unreadable()
    texts = list(read_texts(tmp_path, unreadable, unshown))
    assert texts == ["first\nfile\n", "line\u2028one", "two", "what is said?", "nothing"]
    assert str(unreadable) == "0 unreadable"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.txt", b"caf\xe9", "can't decode byte 0xe9"),
        ("broken.jsonl", b'{"text": "fine"}\n{', "Expecting property name"),
        ("other.jsonl", b'{"body": "x"}', "expected an object with `segments` or `text`"),
        ("list.jsonl", b"[1]", r"got \[1\]"),
    ],
)
def test_unreadable_texts_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / name).write_bytes(content)
    unreadable = Unreadable()
    assert list(read_texts(tmp_path, unreadable, unshown)) == ["fine"]
    with pytest.raises(ValueError, match=rf"1 unreadable; first: .*{name}: .*{message}"):
        raise ValueError(str(unreadable))


def test_long_texts_are_cut_at_line_ends() -> None:
    assert list(pieces("ab\ncd\nefghijkl", 5)) == ["ab\n", "cd\n", "efghi", "jkl"]
    assert list(pieces("", 5)) == []
