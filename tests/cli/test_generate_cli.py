"""``omni generate``: where an answer goes, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.checkpoint import CHECKPOINT_KEY, MODEL_PREFIX, describe
from omni.cli.main import main
from omni.inference.omni import Omni
from omni.media import read_audio, read_image
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.sequence import Audio, Image, Segment, Text
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone
from tests.tiny_model import tiny_model

DRAWN, SAID, WRITTEN = Image(picture(3)), Audio(tone(3), SAMPLE_RATE), Text("three")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answering(monkeypatch: pytest.MonkeyPatch, *answer: Segment) -> None:
    """Let any checkpoint give this answer."""
    omni = Omni(tiny_model(), tiny_tokenizers())
    monkeypatch.setattr(omni, "generate", lambda *_, **__: list(answer))
    monkeypatch.setattr(Omni, "from_checkpoint", lambda *_: omni)


def generate(*options: str) -> int:
    return main(["generate", "last.ckpt", "--text", "which digit?", *options])


def save(model: OmniTransformer) -> None:
    """``last.ckpt`` with this model."""
    weights = {MODEL_PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    kept = describe(model.config, tiny_tokenizers())
    torch.save({CHECKPOINT_KEY: kept, "state_dict": weights}, "last.ckpt")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kept_in", ["fp32", "bf16"])
def test_a_checkpoint_draws_into_the_file(
    here: Path, capsys: pytest.CaptureFixture[str], kept_in: str
) -> None:
    save(tiny_model())
    drawn = ("--want", "image", "--out", "new/drawn.PNG", "--image-steps", "1")
    assert generate(*drawn, "--weights", kept_in) == 0
    assert capsys.readouterr() == ("image: new/drawn.PNG\n", "")
    height, width, _ = read_image(Path("new/drawn.PNG")).shape
    assert height % 4 == width % 4 == 0
    assert generate("--weights", "int3") == 2
    assert "weights is 'int3', expected one of ['fp32', 'bf16', 'int8']" in capsys.readouterr().err


def test_a_checkpoint_whose_experts_choose_positions_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tiny_model(moe=MoEConfig(experts=4, expert_width=16, choice="experts")))
    assert generate("--want", "text") == 2
    assert capsys.readouterr().err == (
        "omni: error: last.ckpt: a model with model.network.moe.choice experts can't generate or be evaluated: "
        "its experts compare all positions of a batch, later ones too; train with model.network.moe.choice "
        "positions\n"
    )


@pytest.mark.parametrize(
    ("want", "out", "suffix"), [("image", "p.jpg", "png"), ("image", "p", "png"), ("audio", "s.mp3", "wav")]
)
def test_a_wrong_ending_is_refused_before_the_model_is_loaded(
    here: Path, capsys: pytest.CaptureFixture[str], want: str, out: str, suffix: str
) -> None:
    assert generate("--want", want, "--out", out) == 2  # there is no last.ckpt
    expected = f"omni: error: --out {out}: for --want {want} expected a name that ends in .{suffix}\n"
    assert capsys.readouterr().err == expected


def test_an_answer_of_its_own_choice_gets_the_right_ending(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, SAID)
    assert generate("--out", "answer.jpg") == 0
    assert capsys.readouterr() == (
        "audio: answer.wav\n",
        "--out answer.jpg became answer.wav: that is the ending of the answer's audio\n",
    )
    assert files(here) == ["answer.wav"]
    waveform_W, rate = read_audio(here / "answer.wav")
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(waveform_W, tone(3), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["answer.png", "answer-1.png", "answer-2.wav"]),
        (("--out", "new/p.png"), ["new/p.png", "new/p-1.png", "new/p-2.wav"]),
    ],
)
def test_several_pictures_and_clips_each_get_a_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: list[str]
) -> None:
    other = Image(picture(4))
    answering(monkeypatch, DRAWN, WRITTEN, other, SAID)
    assert generate(*options, "--json", "answer.json") == 0
    assert json.loads((here / "answer.json").read_text()) == {
        "answer": [
            {"type": "image", "file": expected[0]},
            {"type": "text", "text": "three"},
            {"type": "image", "file": expected[1]},
            {"type": "audio", "file": expected[2]},
        ]
    }
    assert (read_image(here / expected[0]) == DRAWN.pixels).all()
    assert (read_image(here / expected[1]) == other.pixels).all()
    assert (here / expected[2]).is_file()


def test_an_answer_in_text_says_that_the_file_was_not_used(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, WRITTEN)
    assert generate("--out", "p.png") == 0
    assert capsys.readouterr() == (
        "three\n",
        "--out p.png was not used: the answer has no picture or sound\n",
    )
    assert files(here) == []


def test_help_says_that_json_holds_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "also write the answer to this JSON file" in " ".join(capsys.readouterr().out.split())
