"""An import in parts gives the documents of an import in one piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.file_formats import FILES, LINES, ONE_EACH
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.parts import RowsPart, import_parts, parts_of
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.importers.imported import Told, jpeg, save, save_clip, save_lines
from tests.tiny import write_tar

FORM = {form.name: form for form in FORMATS}


def documents(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    reader = ShardReader(folder)
    return [(reader.place(number)[1], reader.members(number)) for number in range(len(reader))]


def whole(form: Format, source: Path, out: Path, options: dict[str, Any]) -> None:
    aside = Quarantine(out, 1.0, warn=False)
    write_shards(form.read()(source, aside, Told(), **options), out)


@pytest.fixture
def captions(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Three tars of pictures with captions, one below a folder; one picture is damaged."""
    source = tmp_path / "laion"
    (source / "b").mkdir(parents=True)
    for number, name in enumerate(("a/00.tar", "b/00.tar", "c.tar")):
        members = []
        for row in range(3):
            picture = b"no picture" if (number, row) == (1, 1) else jpeg(3 * number + row)
            members += [(f"{row}.jpg", picture), (f"{row}.txt", f"picture {row}".encode())]
        (source / name).parent.mkdir(exist_ok=True)
        write_tar(source / name, members)
    pairing = Pairing(source="laion", direction="image-to-text")
    return source, {"caption": None, "pairing": pairing}


def test_tars_of_captions(captions: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    source, options = captions
    form = FORM["webdataset"]
    told: list[int] = []
    with pytest.raises(ValueError, match="1 of 9 documents are damaged"):
        import_parts(form, source, tmp_path / "out", options)
    written = import_parts(form, source, tmp_path / "out", options, max_damaged=0.2, report=told.append)
    assert told == [3]  # all were done
    assert written.documents == 8
    (damage,) = written.left_out
    assert (damage.shard, damage.key) == (f"{source}/b/00.tar", "1")
    assert damage.error.startswith(f"{source}/b/00.tar:1: ")
    listed = json.loads((tmp_path / "out" / "not_imported.jsonl").read_text())
    assert (listed["shard"], listed["key"]) == (damage.shard, "1")
    whole(form, source, tmp_path / "whole", options)
    assert documents(tmp_path / "out") == documents(tmp_path / "whole")
    assert [len(index) for index in ShardReader(tmp_path / "out").indexes] == [3, 2, 3]


def test_small_files_share_a_task(tmp_path: Path) -> None:
    for name in ("a", "b/c", "d", "e", "f"):
        save(tmp_path / "books" / f"{name}.txt", f"Book {name}.".encode())
    options = {"document": "file", "name": "books"}
    import_parts(FORM["text"], tmp_path / "books", tmp_path / "out", options, per_shard=2)
    whole(FORM["text"], tmp_path / "books", tmp_path / "whole", options)
    assert documents(tmp_path / "out") == documents(tmp_path / "whole")
    assert [len(index) for index in ShardReader(tmp_path / "out").indexes] == [2, 2, 1]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert set(FILES) <= set(FORM) and set(FILES) >= ONE_EACH and set(FORM) >= LINES
    with pytest.raises(ValueError, match=r"none: expected a folder of files \.tar, one task each"):
        parts_of(FORM["webdataset"], tmp_path / "none", 1, {})
    with pytest.raises(ValueError, match="none: no such file"):
        parts_of(FORM["jsonl"], tmp_path / "none", 1, {"name": "data"})


# ------------------------------------------------------------------ cut between rows


def jsonl(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Blank lines, a bad line, lines without an id."""
    good = [{"text": f"text {number}"} for number in range(5)]
    return save_lines(folder / "own.jsonl", *good[:2], "", "no JSON", "", *good[2:]), {"name": "own"}


def talks(folder: Path) -> list[dict[str, Any]]:
    """The id ``a`` comes in three of them."""
    for digit in range(3):
        save(folder / f"{digit}.jpg", jpeg(digit))
    turns = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a digit"}]
    ids = ("a", "b", "a", "c", "a")
    return [{"id": key, "image": f"{at % 3}.jpg", "conversations": turns} for at, key in enumerate(ids)]


def llava(folder: Path) -> tuple[Path, dict[str, Any]]:
    return save(folder / "talks.json", json.dumps(talks(folder)).encode()), {"name": "llava", "images": None}


def llava_lines(folder: Path) -> tuple[Path, dict[str, Any]]:
    return save_lines(folder / "talks.jsonl", *talks(folder)), {"name": "llava", "images": None}


def chat(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Demonstrations, one of them empty."""
    good = [{"prompt": f"{number}?", "completion": "yes"} for number in range(5)]
    bad = {"prompt": "what?", "completion": " "}
    return save_lines(folder / "chat.jsonl", *good[:3], bad, *good[3:]), {"name": "chat"}


def sharegpt(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A list of conversations with a picture each, one of them without it."""
    save(folder / "7.jpg", jpeg(7))
    turns = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a digit"}]
    lists = [["7.jpg"], [], ["7.jpg"], ["7.jpg"], ["7.jpg"]]
    listed = [{"conversations": turns, "images": images} for images in lists]
    return save(folder / "talks.json", json.dumps(listed).encode()), {"name": "sharegpt"}


def pictures(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Described by a table; one picture isn't."""
    for digit in range(6):
        save(folder / "cats" / f"{digit}.jpg", jpeg(digit))
    lines = [{"file_name": f"{digit}.jpg", "text": f"cat {digit}"} for digit in (3, 1, 5, 0, 2)]
    save_lines(folder / "cats" / "metadata.jsonl", *lines)
    return folder / "cats", {"caption": "text", "pairing": Pairing(source="cats", direction="image-to-text")}


SPEECH = {"pairing": Pairing(source="speech", direction="audio-to-text")}


def librispeech(folder: Path) -> tuple[Path, dict[str, Any]]:
    for chapter in range(2):
        for number in range(2):
            save_clip(folder / "ls" / f"1/{chapter}/1-{chapter}-{number}.flac", chapter + number)
        lines = "".join(
            f"1-{chapter}-{number} WORDS {number}\n" for number in range(3)
        )  # one clip is missing
        save(folder / "ls" / f"1/{chapter}/1-{chapter}.trans.txt", lines.encode())
    return folder / "ls", SPEECH | {"lowercase": True}


def common_voice(folder: Path) -> tuple[Path, dict[str, Any]]:
    for digit in range(5):
        save_clip(folder / "clips" / f"{digit}.wav", digit)
    table = "path\tsentence\n" + "".join(f"{digit}.wav\tdigit {digit}\n" for digit in range(5))
    return save(folder / "train.tsv", table.encode()), SPEECH


def ljspeech(folder: Path) -> tuple[Path, dict[str, Any]]:
    for digit in range(5):
        save_clip(folder / "lj" / "wavs" / f"{digit}.wav", digit)
    lines = "".join(f"{digit}|{digit}|digit {digit}\n" for digit in range(5))
    save(folder / "lj" / "metadata.csv", lines.encode())
    return folder / "lj", SPEECH


def hf(folder: Path) -> tuple[Path, dict[str, Any]]:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"words": [f"words {n}" for n in range(5)]}).save_to_disk(folder / "saved")
    options = {"text": "words", "image": None, "audio": None, "key": None, "split": None}
    return folder / "saved", options | {"pairing": Pairing(source="hf")}


BY_ROWS = {
    "jsonl": jsonl,
    "llava": llava,
    "llava, lines": llava_lines,
    "chat": chat,
    "sharegpt": sharegpt,
    "folder": pictures,
    "librispeech": librispeech,
    "common-voice": common_voice,
    "ljspeech": ljspeech,
    "hf": hf,
}


def test_every_format_is_cut_by_files_or_by_rows() -> None:
    assert {name.partition(",")[0] for name in BY_ROWS} | set(FILES) == set(FORM)


@pytest.mark.parametrize("name", BY_ROWS)
def test_a_source_is_cut_between_rows(name: str, tmp_path: Path) -> None:
    """The documents, their keys and what is set aside are those of an import in one piece."""
    source, options = BY_ROWS[name](tmp_path / "data")
    form = FORM[name.partition(",")[0]]
    written = import_parts(form, source, tmp_path / "out", options, per_shard=2, max_damaged=0.9)
    whole(form, source, tmp_path / "whole", options)
    found = documents(tmp_path / "out")
    assert found == documents(tmp_path / "whole") and len(found) >= 4
    listed = tmp_path / "whole" / "quarantine.jsonl"
    lines = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    assert [(one.shard, one.key, one.error) for one in written.left_out] == [
        (line["shard"], line["key"], line["error"]) for line in lines
    ]
    assert max(len(index) for index in ShardReader(tmp_path / "out").indexes) <= 2


def test_a_task_reads_its_own_lines_alone(tmp_path: Path) -> None:
    source, options = jsonl(tmp_path)
    spans = [part.span for part in parts_of(FORM["jsonl"], source, 2, options) if isinstance(part, RowsPart)]
    lines = source.read_bytes().splitlines(keepends=True)
    assert [(span.start, span.stop, span.line) for span in spans] == [(0, 2, 1), (2, 4, 4), (4, 6, 7)]
    assert [span.byte for span in spans] == [len(b"".join(lines[: span.line - 1])) for span in spans]
