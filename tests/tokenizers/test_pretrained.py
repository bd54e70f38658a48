"""Mimi, EnCodec and DAC with small random weights saved to disk: shapes and plumbing only."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omni.tokenizers.audio.pretrained import DacCodec, EncodecCodec, MimiCodec, PretrainedCodec
from omni.tokenizers.audio.registry import codec_class, codec_from_files, load_codec
from tests.tiny import tone

SAMPLES_PER_FRAME = {"mimi": 160, "encodec": 80, "dac": 64}
KINDS = list(SAMPLES_PER_FRAME)


def model(kind: str, **settings: Any) -> torch.nn.Module:
    """A model of 4 x 16 codes at 8 kHz."""
    import transformers as hf

    torch.manual_seed(0)
    if kind == "mimi":
        return hf.MimiModel(
            hf.MimiConfig(
                sampling_rate=8_000, hidden_size=32, num_filters=4, num_residual_layers=1, codebook_size=16,
                upsampling_ratios=[5, 4, 4], upsample_groups=32, codebook_dim=8, num_quantizers=4,
                vector_quantization_hidden_dimension=8, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=2, head_dim=16, intermediate_size=32, **settings,
            )
        )  # fmt: skip
    if kind == "encodec":
        return hf.EncodecModel(
            hf.EncodecConfig(
                sampling_rate=8_000, num_filters=4, upsampling_ratios=[5, 4, 4], hidden_size=16,
                codebook_size=16, num_lstm_layers=1, target_bandwidths=[0.4, 1.6], **settings,
            )
        )  # fmt: skip
    return hf.DacModel(
        hf.DacConfig(
            sampling_rate=8_000, encoder_hidden_size=8, downsampling_ratios=[4, 4, 4], decoder_hidden_size=32,
            n_codebooks=4, codebook_size=16, codebook_dim=4, **settings,
        )
    )  # fmt: skip


@cache
def codec(kind: str) -> PretrainedCodec:
    return codec_class(kind)(model(kind), 3)  # type: ignore[call-arg, return-value]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_shapes(kind: str) -> None:
    ours, size = codec(kind), SAMPLES_PER_FRAME[kind]
    assert (ours.sample_rate, ours.samples_per_frame) == (8_000, size)
    assert (ours.codebooks, ours.codebook_size) == (3, 16)
    for samples in (1, size, size + 1, 1_600):
        codes_FK = ours.encode(tone(3)[:samples])
        assert codes_FK.shape == (-(-samples // size), 3)
        assert codes_FK.dtype == np.int64
        assert codes_FK.min() >= 0 and codes_FK.max() < 16
        wave_W = ours.decode(codes_FK)
        assert wave_W.shape == (len(codes_FK) * size,)
        assert wave_W.dtype == np.float32
    assert ours.decode(np.zeros((0, 3), np.int64)).shape == (0,)


def test_loaded_from_a_folder_of_transformers(kind: str, tmp_path: Path) -> None:
    model(kind).save_pretrained(tmp_path)  # type: ignore[operator]
    loaded = type(codec(kind)).load(tmp_path, codebooks=3)
    codes_FK = codec(kind).encode(tone(5))
    assert (loaded.encode(tone(5)) == codes_FK).all()
    assert (loaded.decode(codes_FK) == codec(kind).decode(codes_FK)).all()
    assert type(codec(kind)).load(tmp_path).codebooks == 4


def test_saved_and_loaded_it_is_the_same_and_needs_no_network(kind: str, tmp_path: Path) -> None:
    codec(kind).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "codec.json",
        "config.json",
        "model.safetensors",
    ]
    assert json.loads((tmp_path / "codec.json").read_text()) == {"codebooks": 3, "kind": kind}
    loaded = load_codec(tmp_path)
    assert type(loaded) is type(codec(kind))
    assert loaded.codebooks == 3
    assert loaded.fingerprint == codec(kind).fingerprint == codec_from_files(codec(kind).files()).fingerprint
    random_FK = np.random.default_rng(0).integers(0, 16, (9, 3))
    assert (loaded.decode(random_FK) == codec(kind).decode(random_FK)).all()


def test_fewer_codebooks_are_the_first_ones(kind: str) -> None:
    whole = type(codec(kind))(model(kind))
    assert (whole.encode(tone(5))[:, :3] == codec(kind).encode(tone(5))).all()


def test_the_stream_has_all_samples_and_is_near_the_whole(kind: str) -> None:
    ours = codec(kind)
    codes_FK = np.random.default_rng(0).integers(0, 16, (60, 3))
    stream = ours.stream()
    wave_W = np.concatenate(
        [*(stream.push(part) for part in np.split(codes_FK, range(5, 60, 5))), stream.flush()]
    )
    whole_W = ours.decode(codes_FK)
    assert wave_W.shape == whole_W.shape
    assert np.abs(wave_W - whole_W).max() <= 0.02 * np.abs(whole_W).max() + 1e-6


def test_too_many_codebooks(kind: str) -> None:
    with pytest.raises(ValueError, match=r"5 codebooks wanted, this \w+Model has 1 to 4"):
        type(codec(kind))(model(kind), 5)


@pytest.mark.parametrize("settings", [{"normalize": True}, {"audio_channels": 2}, {"chunk_length_s": 1.0}])
def test_encodec_of_stereo_or_normalised_sound_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"EnCodec with audio_channels \d, .*facebook/encodec_24khz"):
        EncodecCodec(model("encodec", **settings))


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no MimiModel with safetensors weights here"):
        MimiCodec.load(tmp_path)


def test_without_transformers_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ValueError, match=r"dac codec needs the transformers library: pip install -e '.\[pretrained\]'"
    ):
        DacCodec.load("descript/dac_16khz")
