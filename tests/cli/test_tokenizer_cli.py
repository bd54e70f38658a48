"""``omni tokenizer``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omni.cli.main import main
from omni.media import write_wav
from omni.tokenizers.audio.registry import load_codec
from omni.tokenizers.text import TextTokenizer
from tests.tiny import SENTENCES, tone


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for digit in range(10):
        write_wav(folder / f"{digit}.wav", tone(digit, seconds=0.5), 8_000)
    return folder


def figures(path: Path) -> dict:
    return json.loads(path.read_text())


def train(sounds: Path, out: Path, *options: str) -> int:
    return main(["tokenizer", "train-audio", "--data", str(sounds), "--out", str(out), *options])


def test_spectral_trained_and_checked(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sounds / "bad.wav").write_bytes(b"not sound")
    out, json_file = tmp_path / "codec", tmp_path / "figures" / "train.json"
    options = ("--codebooks", "2", "--codebook-size", "16", "--held-out", "0.2", "--json", str(json_file))
    assert train(sounds, out, *options) == 0
    codec = load_codec(out)
    assert (codec.kind, codec.codebooks, codec.codebook_size, codec.frame_rate) == ("spectral", 2, 16, 25)
    printed = capsys.readouterr().out
    assert f"10 clips, 5 s; 1 unreadable; first: {sounds}/bad.wav: 9 bytes: " in printed
    assert "2 x 16 codes at 25 frames/s, trained on 8 clips" in printed
    trained = figures(json_file)
    assert (trained["clips"], trained["held_out"]["clips"]) == (8, 2)
    assert len(trained["unreadable"]) == 1
    assert trained["fingerprint"] == codec.fingerprint

    check = ["tokenizer", "check-audio", str(out), "--data", str(sounds), "--json", str(json_file)]
    assert main(check) == 0
    assert "signal-to-noise ratio" in capsys.readouterr().out
    checked = figures(json_file)
    assert (checked["clips"], checked["silent_clips"], len(checked["codebooks"])) == (10, 0, 2)
    assert set(checked["codebooks"][0]) == {"used", "perplexity"}


def test_the_same_seed_writes_the_same_codec(sounds: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert train(sounds, tmp_path / name, "--codebook-size", "16", "--seed", seed) == 0
    fingerprints = [load_codec(tmp_path / name).fingerprint for name in "abc"]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_neural_trained(sounds: Path, tmp_path: Path) -> None:
    shape = ("--codebooks", "2", "--codebook-size", "16", "--strides", "8,8", "--channels", "8,8")
    out, json_file = tmp_path / "codec", tmp_path / "train.json"
    plan = ("--steps", "6", "--batch-size", "2", "--held-out", "0.1", "--json", str(json_file))
    assert train(sounds, out, "--kind", "neural", *shape, *plan) == 0
    codec = load_codec(out)
    assert (codec.kind, codec.codebooks, codec.codebook_size, codec.frame_rate) == ("neural", 2, 16, 125)
    assert figures(json_file)["held_out"]["clips"] == 1


def test_too_few_clips_to_hold_any_out(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file = tmp_path / "train.json"
    assert train(sounds, tmp_path / "codec", "--codebook-size", "16", "--json", str(json_file)) == 0
    printed = capsys.readouterr().out
    assert "10 clips are too few to hold out 0.05 of them, so the codec was not measured" in printed
    assert figures(json_file)["held_out"] is None
    assert train(sounds, tmp_path / "codec", "--codebook-size", "16", "--held-out", "0") == 0
    assert "too few" not in capsys.readouterr().out


def test_text_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.txt").write_text("\n".join(SENTENCES))
    command = ["tokenizer", "train-text", "--data", str(tmp_path / "data.txt"), "--vocab-size", "400"]
    json_file = tmp_path / "text.json"
    assert main([*command, "--out", str(tmp_path / "text"), "--max-grid", "8", "--json", str(json_file)]) == 0
    tokenizer = TextTokenizer.load(tmp_path / "text")
    assert tokenizer.decode(tokenizer.encode("draw a digit")) == "draw a digit"
    written = figures(json_file)
    assert written["characters"] == len("\n".join(SENTENCES))
    assert written["characters_per_token"] > 2
    assert "0 unreadable" in capsys.readouterr().out


def test_no_text_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    command = ["tokenizer", "train-text", "--data", str(tmp_path), "--vocab-size", "400"]
    assert main([*command, "--out", str(tmp_path / "text")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{tmp_path}: no text to train on; 1 unreadable; first: {tmp_path}/latin.txt: " in line


def test_pretrained_imported(tmp_path: Path) -> None:
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        sampling_rate=8_000, encoder_hidden_size=8, downsampling_ratios=[4, 4], decoder_hidden_size=16,
        n_codebooks=3, codebook_size=16, codebook_dim=4,
    )  # fmt: skip
    DacModel(config).save_pretrained(tmp_path / "model")
    command = ["tokenizer", "import-audio", "--kind", "dac", "--from", str(tmp_path / "model")]
    json_file = tmp_path / "import.json"
    assert (
        main([*command, "--out", str(tmp_path / "codec"), "--codebooks", "2", "--json", str(json_file)]) == 0
    )
    codec = load_codec(tmp_path / "codec")
    assert (codec.kind, codec.codebooks, codec.frame_rate) == ("dac", 2, 500)
    assert figures(json_file) == {
        "kind": "dac",
        "codebooks": 2,
        "codebook_size": 16,
        "frame_rate": 500,
        "sample_rate": 8_000,
        "fingerprint": codec.fingerprint,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "5"), "--steps: only for --kind neural, got --kind spectral"),
        (("--held-out", "1"), "--held-out is a share of the sounds, expected 0 to less than 1, got 1"),
        (("--sample-rate", "8001"), "sample rate 8001 Hz: a spectral codec needs a multiple of 100"),
        (("--codebook-size", "1"), "codebook_size is 1, expected 2 to 65536"),
        (("--kind", "neural", "--strides", "4"), "strides (4,) and channels (64, 96): expected one of each"),
        ((), "frames of audio to fit codebooks of 256 codes: give more recordings"),
    ],
)
def test_what_is_wrong_is_one_line(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert train(sounds, tmp_path / "codec", *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("omni: error: ")
    assert message in line
    assert not (tmp_path / "codec").exists()


def test_strides_that_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tokenizer", "train-audio", "--data", "x", "--out", "y", "--strides", "8,x"])
    assert "expected whole numbers such as 8,4, got '8,x'" in capsys.readouterr().err


def test_no_codec_or_no_sound_to_check(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokenizer", "check-audio", str(tmp_path), "--data", str(sounds)]) == 2
    assert "no audio codec here (codec.json is missing)" in capsys.readouterr().err
