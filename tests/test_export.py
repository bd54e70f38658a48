"""A folder of safetensors, JSON and tokenizers: the same model bit for bit, and errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni.checkpoint import load_model, take_weights
from omni.export import tied, write_export
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.nn.config import TextHeadConfig
from omni.sequence import Image, Segment, Text
from tests.tiny import picture, tiny_tokenizers
from tests.tiny_model import tiny_config, tiny_model

HEAD, TABLE = "text_head.linear.weight", "embed.text.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export that a test may damage."""
    write_export(tmp_path / "model", tiny_model(), tiny_tokenizers())
    return tmp_path / "model"


@pytest.mark.parametrize("head", [TextHeadConfig(), TextHeadConfig(tied=False)], ids=["tied", "untied"])
def test_the_round_trip_is_exact(tmp_path: Path, head: TextHeadConfig) -> None:
    model = tiny_model(text=head)
    write_export(tmp_path / "model", model, tiny_tokenizers())
    loaded, tokenizers = load_model(tmp_path / "model")
    assert loaded.config == tiny_config(text=head) and not loaded.training
    assert tokenizers.files() == tiny_tokenizers().files()
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[name], kept) for name, kept in model.state_dict().items())
    assert (loaded.text_head.linear.weight is loaded.embed.text.weight) == head.tied


def test_what_lies_in_the_folder(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    kept = {f"tokenizers/{name}" for name in tiny_tokenizers().files()}
    assert files == {"config.json", "model.safetensors", *kept}
    assert json.loads((folder / "config.json").read_text())["network"]["width"] == 32
    assert tied(tiny_model()) == {HEAD: TABLE}
    assert HEAD not in load_file(folder / "model.safetensors")


def test_it_answers_as_the_model_does(folder: Path) -> None:
    prompt: list[Segment] = [Image(picture(3)), Text("which digit?")]
    options = SamplingOptions(max_text=8)
    expected = Omni(tiny_model(), tiny_tokenizers()).generate(prompt, "text", options)
    assert Omni.from_checkpoint(folder).generate(prompt, "text", options) == expected


# ------------------------------------------------------------------ what is wrong is said


def test_a_folder_with_files_is_not_written_to(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"model: there is something already; export to a new"):
        write_export(folder, tiny_model(), tiny_tokenizers())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", r"config\.json: no such file, so not a folder of `omni export`"),
        ("model.safetensors", r"model\.safetensors: no such file"),
        ("tokenizers/text.model", r"model/tokenizers: tokenizer files \['text\.model'\] are missing"),
    ],
)
def test_a_missing_file_is_named(folder: Path, file: str, message: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ValueError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", r"config\.json: not JSON"),
        ("config.json", b"[]", r"config\.json: no config of `omni export`"),
        ("config.json", b'{"format": "omni", "version": 2}', r"config\.json: version 2, expected 1"),
        ("model.safetensors", b"cut off", r"model\.safetensors: no safetensors file, or damaged"),
        ("tokenizers/image.json", b"{", r"model/tokenizers: image\.json: no settings"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, file: str, content: bytes, message: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_half_of_the_weights_are_listed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["norm.weight"]
    save_file(
        weights | {"norm.scale": torch.ones(32), TABLE: torch.ones(3, 32)}, folder / "model.safetensors"
    )
    with pytest.raises(ValueError) as caught:
        load_model(folder)
    said = str(caught.value)
    assert said.startswith(f"{folder}: its weights don't fit its config: ")
    assert "1 missing: norm.weight" in said and "1 unexpected: norm.scale" in said
    assert f"{TABLE} [3, 32] for [330, 32]" in said


def test_long_lists_are_cut() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=rf"{len(model.state_dict())} missing: .*, and \d+ more$"):
        take_weights(model, {}, "file")


def test_an_untied_head_is_not_lost_in_a_tied_model() -> None:
    untied = tiny_model(text=TextHeadConfig(tied=False)).state_dict()
    with pytest.raises(ValueError, match=rf"1 tied to another: {HEAD}"):
        take_weights(tiny_model(), untied, "file")
