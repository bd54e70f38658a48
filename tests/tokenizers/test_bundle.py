"""The three tokenizers together: on disk, as bytes, and when a part is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.layout import Layout
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from tests.tiny import tiny_documents, tiny_tokenizers

FILES = [
    *("audio/basis.npy", "audio/codebooks.npy", "audio/codec.json", "audio/mean.npy"),
    *("image.json", "text.model"),
]


def test_files() -> None:
    files = tiny_tokenizers().files()
    assert sorted(files) == FILES
    assert json.loads(files["image.json"]) == {
        "patch_size": 4,
        "channels": 1,
        "max_patches": 16,
        "max_grid": 8,
    }


def test_saved_and_loaded_they_encode_alike(tmp_path: Path) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    loaded = Tokenizers.load(tmp_path / "tokenizers")
    assert loaded.files() == tiny_tokenizers().files()
    assert loaded.audio.fingerprint == tiny_tokenizers().audio.fingerprint
    for document in tiny_documents(8):
        ours, theirs = (Layout(each).encode(document) for each in (tiny_tokenizers(), loaded))
        for name in ("modality", "text_ids", "coords", "loss", "patches", "codes"):
            assert getattr(ours, name).tolist() == getattr(theirs, name).tolist(), (document.key, name)


@pytest.mark.parametrize("missing", ["text.model", "image.json", "audio/codec.json"])
def test_a_missing_file_is_named(missing: str) -> None:
    files = tiny_tokenizers().files()
    del files[missing]
    with pytest.raises(ValueError, match=rf"tokenizer files \['{missing}'\] are missing, found \["):
        Tokenizers.from_files(files)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Expecting property name"),
        (b'{"patch": 4}', "unexpected keyword argument 'patch'"),
        (b'{"patch_size": 0}', "image.patch_size must be at least 1, got 0"),
    ],
    ids=["no JSON", "unknown setting", "bad setting"],
)
def test_damaged_settings_are_named(content: bytes, message: str) -> None:
    files = tiny_tokenizers().files() | {"image.json": content}
    with pytest.raises(ValueError, match=f"image.json: no settings of an image tokenizer .*{message}"):
        Tokenizers.from_files(files)


def test_a_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such tokenizer folder; `omni demo --until tokenizers`"):
        Tokenizers.load(tmp_path / "nowhere")


def test_grids_that_cannot_be_announced_are_refused() -> None:
    tiny = tiny_tokenizers()
    with pytest.raises(ValueError, match=r"image\.max_grid 9 is more than the 8 size symbols"):
        Tokenizers(tiny.text, ImageTokenizer(ImageTokenizerConfig(max_grid=9)), tiny.audio)
