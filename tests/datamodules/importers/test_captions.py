"""Pictures with captions: img2dataset's tars, folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.datamodules.importers.caption_tars import read_caption_tars
from omni.datamodules.importers.folder import read_folder
from omni.datamodules.importers.pairs import Pairing
from tests.datamodules.importers.imported import TO_TEXT, import_from, jpeg, save, save_lines, shown
from tests.tiny import write_tar


def downloaded(key: str, caption: str | None) -> list[tuple[str, bytes]]:
    """The members that img2dataset writes for one picture."""
    head = {"url": f"https://example.org/{key}", "caption": caption, "key": key, "status": "success"}
    return [
        (f"{key}.jpg", jpeg(int(key) % 10)),
        (f"{key}.json", json.dumps(head | {"error_message": None, "width": 5, "height": 6}).encode()),
        (f"{key}.txt", (caption or "").encode()),
    ]


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Two shards of two pictures."""
    (tmp_path / "laion").mkdir()
    write_tar(tmp_path / "laion" / "00000.tar", downloaded("000000000", "a") + downloaded("000000001", "b"))
    write_tar(tmp_path / "laion" / "00001.tar", downloaded("000010000", "c") + downloaded("000010001", "d"))
    save(tmp_path / "laion" / "00000_stats.json", b"{}")
    return tmp_path / "laion"


def test_caption_shards(tars: Path) -> None:
    found = import_from(read_caption_tars, tars, pairing=TO_TEXT)
    assert found.keys == ["00000/000000000", "00000/000000001", "00001/000010000", "00001/000010001"]
    assert shown(found.documents[2]) == ["* image 5x6", "* 'c'"]
    assert {document.source for document in found.documents} == {"data_image_to_text"}
    assert found.told.steps is not None and 0 < sum(found.told.done) < found.told.steps


def test_captions_of_the_json(tmp_path: Path) -> None:
    """Without a txt the caption is that of the JSON; new captions stand in fields of their own."""
    head = {"caption": "old", "better": "new"}
    tar = write_tar(tmp_path / "a.tar", [("0.png", jpeg(0)), ("0.json", json.dumps(head).encode())])
    assert shown(import_from(read_caption_tars, tar, pairing=TO_TEXT).documents[0])[1] == "* 'old'"
    found = import_from(read_caption_tars, tar, pairing=TO_TEXT, caption="better")
    assert shown(found.documents[0])[1] == "* 'new'"
    assert found.keys == ["a/0"]
    with pytest.raises(
        ValueError, match=r"a\.tar:0: json has no field 'beter', but \[\"better\", \"caption\"\]"
    ):
        import_from(read_caption_tars, tar, pairing=TO_TEXT, caption="beter")


def test_damaged_caption_shards(tars: Path) -> None:
    broken = [("3.jpg", b"no picture"), ("3.txt", b"a")]
    bare = [("5.jpg", jpeg(5))]
    write_tar(tars / "00002.tar", [*broken, ("4.txt", b"a"), *bare, ("6.jpg", jpeg(6)), ("6.txt", b" ")])
    content = (tars / "00001.tar").read_bytes()
    cut = save(tars / "00003.tar", content[: content.index(b"000010001.jpg") + 600])
    found = import_from(read_caption_tars, tars, most=0.9, pairing=TO_TEXT)
    assert found.keys[-1] == "00003/000010000" and len(found.keys) == 5  # what was whole before the cut
    where = f"{tars}/00002.tar"
    assert [error for _, error in found.aside[:-1]] == [
        f"{where}:3: 10 bytes: not a picture, expected one of PNG, JPEG, GIF, WEBP, BMP, TIFF, PPM, JPEG2000",
        f"{where}:4: no picture among its files ['txt']",
        f"{where}:5: no caption: neither txt nor json among its files ['jpg']",
        f"{where}:6: caption is empty",
    ]
    assert found.aside[-1][0] == "the rest"
    assert found.aside[-1][1].startswith(f"{cut}:the rest: truncated tar, 000010001.jpg ends at byte ")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures with a text beside each."""
    for number, name in enumerate(["b", "deep/a.1"]):
        save(tmp_path / "pictures" / f"{name}.jpg", jpeg(number))
        save(tmp_path / "pictures" / f"{name}.txt", f"caption of {name}\n".encode())
    return tmp_path / "pictures"


def test_texts_beside_pictures(pictures: Path) -> None:
    save(pictures / "lonely.png", jpeg(3))
    found = import_from(read_folder, pictures, most=0.5, pairing=TO_TEXT)
    assert found.keys == ["b_jpg", "deep/a_1_jpg"]
    assert shown(found.documents[1]) == ["* image 5x6", "* 'caption of deep/a.1'"]
    assert found.aside == [("lonely.png", f"{pictures}:lonely.png: no caption")]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_metadata_beside_pictures(pictures: Path, kind: str) -> None:
    """A metadata file names the pictures of its folder; texts beside them no longer count."""
    rows = [
        ("b.jpg", 'a "cat", asleep'),
        ("deep/a.1.jpg", "two\nlines"),
        ("none.jpg", "a"),
        ("../x.jpg", "a"),
    ]
    if kind == "jsonl":
        save_lines(pictures / "metadata.jsonl", *[{"file_name": n, "text": t} for n, t in rows], "{", "")
    else:
        lines = [f'{name},"{text.replace(chr(34), chr(34) * 2)}"' for name, text in rows]
        save(pictures / "metadata.csv", "\n".join(["file_name,text", *lines, "b.jpg"]).encode())
    save(pictures / "unnamed.jpg", jpeg(4))
    found = import_from(read_folder, pictures, most=0.9, pairing=TO_TEXT)
    assert [shown(d)[1] for d in found.documents] == ["* 'a \"cat\", asleep'", "* 'two\\nlines'"]
    metadata = f"{pictures}/metadata.{kind}"
    third, fourth, fifth = (3, 4, 5) if kind == "jsonl" else (5, 6, 7)  # of csv: the line where a row ends
    last = "this line: not JSON" if kind == "jsonl" else "no caption"
    assert [error.split(" (")[0] for _, error in found.aside] == [
        f"{metadata}:{third}: file_name 'none.jpg': no such file in {pictures}",
        f"{metadata}:{fourth}: file_name '../x.jpg' leads out of the folder",
        f"{metadata}:{fifth}: {last}",
        f"{pictures}:unnamed.jpg: no metadata file names this picture",
    ]


def test_other_columns(pictures: Path) -> None:
    save_lines(
        pictures / "metadata.jsonl",
        {"file_name": "b.jpg", "caption": "a"},
        {"file_name": "deep/a.1.jpg", "caption": "b"},
    )
    assert len(import_from(read_folder, pictures, pairing=TO_TEXT, caption="caption").documents) == 2
    with pytest.raises(
        ValueError, match=r"expected columns \['file_name', 'text'\], got \['caption', 'file_name'\]"
    ):
        import_from(read_folder, pictures, pairing=TO_TEXT)


def test_both_directions_of_a_folder(pictures: Path) -> None:
    found = import_from(read_folder, pictures, pairing=Pairing(source="cats"))
    assert {document.source for document in found.documents} <= {"cats_image_to_text", "cats_text_to_image"}


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder; expected one with pictures"):
        import_from(read_folder, tmp_path / "none", pairing=TO_TEXT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures in this folder"):
        import_from(read_folder, tmp_path / "empty", pairing=TO_TEXT)
