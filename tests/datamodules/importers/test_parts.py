"""An import in parts gives the documents of an import in one piece, a shard a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.file_formats import FILES, ONE_EACH
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.parts import import_parts, parts_of
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.importers.imported import Told, jpeg, save
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


def test_formats_that_are_read_in_one_piece(tmp_path: Path) -> None:
    assert set(FILES) <= set(FORM) and set(FILES) >= ONE_EACH
    with pytest.raises(
        ValueError, match="llava is read in one piece; --workers and --ray are for digits, mmc4"
    ):
        parts_of(FORM["llava"], tmp_path, 1, {})
    with pytest.raises(ValueError, match=r"none: expected a folder of files \.tar, one task each"):
        parts_of(FORM["webdataset"], tmp_path / "none", 1, {})
