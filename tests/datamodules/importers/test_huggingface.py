"""Data sets of Hugging Face's package on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.huggingface import read_hf
from omni.datamodules.importers.pairs import Pairing
from tests.datamodules.importers.imported import SPEECH_TO_TEXT, TO_TEXT, import_from, jpeg, save_clip, shown


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets")


@pytest.fixture
def pictures(tmp_path: Path, datasets: Any) -> Path:
    """Three rows of a picture, a caption and an id; the second picture is damaged."""
    rows = {
        "picture": [
            {"bytes": jpeg(1), "path": "1.jpg"},
            {"bytes": b"bad", "path": None},
            {"bytes": jpeg(2), "path": None},
        ],
        "caption": ["a", "b", None],
        "name": ["x.1", "x.2", "x.3"],
    }
    kinds = {
        "picture": datasets.Image(),
        "caption": datasets.Value("string"),
        "name": datasets.Value("string"),
    }
    data = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    data.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_pictures_with_captions(pictures: Path) -> None:
    options = {"image": "picture", "text": "caption", "key": "name"}
    found = import_from(read_hf, pictures, most=0.9, pairing=TO_TEXT, **options)
    assert found.keys == ["x_1"]
    assert shown(found.documents[0]) == ["* image 5x6", "* 'a'"]
    assert "3 bytes: not a picture" in found.aside[0][1]
    assert found.aside[1] == ("00000002", f"{pictures}:00000002: no text")
    assert found.told.steps == sum(found.told.done) == 3


def test_one_column_alone(pictures: Path) -> None:
    found = import_from(read_hf, pictures, most=0.9, pairing=TO_TEXT, text="caption")
    assert [(d.key, d.source, shown(d)) for d in found.documents] == [
        ("00000000", "data", ["* 'a'"]),
        ("00000001", "data", ["* 'b'"]),
    ]
    found = import_from(read_hf, pictures, most=0.9, pairing=TO_TEXT, image="picture")
    assert [shown(d) for d in found.documents] == [["* image 5x6"], ["* image 5x6"]]


def test_clips_and_splits(tmp_path: Path, datasets: Any) -> None:
    clip = save_clip(tmp_path / "1.wav", 1)
    rows = {"audio": [{"bytes": clip.read_bytes(), "path": "1.wav"}, {"bytes": None, "path": str(clip)}]}
    data = datasets.Dataset.from_dict(rows | {"text": ["one", "uno"]})
    data = data.cast_column("audio", datasets.Audio(sampling_rate=8_000))
    source = tmp_path / "saved"
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(source)
    found = import_from(read_hf, source, pairing=SPEECH_TO_TEXT, audio="audio", text="text", split="train")
    assert [shown(d) for d in found.documents] == [["* audio 0.1s", "* 'one'"], ["* audio 0.1s", "* 'uno'"]]
    for split, message in [
        (None, r"expected one of \['test', 'train'\], none was named"),
        ("val", "got 'val'"),
    ]:
        with pytest.raises(ValueError, match=message):
            import_from(read_hf, source, pairing=SPEECH_TO_TEXT, text="text", split=split)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"name columns by --text, --image or --audio; there are \['picture', 'caption', 'name'\]"),
        ({"text": "captoin"}, "--text 'captoin': expected one of .*; did you mean 'caption'"),
        ({"image": "picture", "audio": "name"}, "--image and --audio: a document has one of them"),
        ({"text": "caption", "split": "train"}, "--split 'train': this data set has no splits"),
    ],
)
def test_wrong_options(pictures: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_from(read_hf, pictures, pairing=TO_TEXT, **options)


def test_a_direction_of_another_medium(pictures: Path) -> None:
    with pytest.raises(ValueError, match="'audio-to-text': expected one of image-to-text"):
        import_from(
            read_hf,
            pictures,
            pairing=Pairing(source="a", direction="audio-to-text"),
            image="picture",
            text="name",
        )


def test_a_folder_that_holds_no_data_set(tmp_path: Path, datasets: Any) -> None:
    with pytest.raises(ValueError, match="no such folder; expected one that `save_to_disk` wrote"):
        import_from(read_hf, tmp_path / "none", pairing=TO_TEXT, text="text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="not a folder that `save_to_disk` wrote"):
        import_from(read_hf, tmp_path / "empty", pairing=TO_TEXT, text="text")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'omni\[import\]'"):
        import_from(read_hf, tmp_path, pairing=TO_TEXT, text="text")
