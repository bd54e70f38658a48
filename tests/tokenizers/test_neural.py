"""The neural codec: causality, the stream, learning, the files and the errors."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.evaluation.metrics.audio import signal_to_noise
from omni.media import MediaError
from omni.tokenizers.audio.neural import NeuralCodec
from omni.tokenizers.audio.neural_network import (
    NeuralConfig,
    context_frames,
    neural_decoder,
    neural_encoder,
)
from omni.tokenizers.audio.neural_training import (
    Crops,
    NeuralTraining,
    NeuralTrainingConfig,
    train_neural_codec,
)
from omni.tokenizers.audio.registry import codec_from_files, load_codec
from omni.tokenizers.audio.residual import residual_codes
from tests.tiny import tone

CONFIG = NeuralConfig(strides=(4, 4), channels=(16, 24), dimension=16, codebooks=3, codebook_size=32)
TRAINING = NeuralTrainingConfig(
    steps=400, batch_size=8, crop_samples=1_024, learning_rate=6e-3, spectral_windows=(64, 256)
)
SHAPES = [
    CONFIG,
    NeuralConfig(strides=(8,), channels=(8,), dilations=(), dimension=4),
    NeuralConfig(strides=(2, 3, 5), channels=(8, 8, 8), dilations=(1, 3), dimension=4),
]


def waveforms() -> list[np.ndarray]:
    return [tone(digit, seconds=0.5) for digit in range(10)]


@cache
def trained() -> NeuralCodec:
    return train_neural_codec(waveforms(), CONFIG, TRAINING, progress=False)


def untrained(config: NeuralConfig) -> NeuralCodec:
    torch.manual_seed(0)
    codebooks_KQC = torch.randn(config.codebooks, config.codebook_size, config.dimension)
    return NeuralCodec(config, neural_encoder(config), neural_decoder(config), codebooks_KQC)


def random_codes(codec: NeuralCodec, frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, codec.codebook_size, (frames, codec.codebooks))


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (15, 1), (16, 1), (17, 2), (1_600, 100)])
def test_shapes(samples: int, frames: int) -> None:
    codec = untrained(CONFIG)
    codes_FK = codec.encode(tone(3, seconds=1)[:samples])
    assert codes_FK.shape == (frames, 3)
    assert codes_FK.dtype == np.int64
    wave_W = codec.decode(codes_FK)
    assert wave_W.shape == (frames * 16,)
    assert wave_W.dtype == np.float32


# ---- causality and the stream


@pytest.mark.parametrize("config", SHAPES)
def test_codes_depend_on_the_past_only(config: NeuralConfig) -> None:
    codec = untrained(config)
    size = codec.samples_per_frame
    wave_W = np.random.default_rng(0).uniform(-1, 1, 40 * size).astype(np.float32)
    codes_FK = codec.encode(wave_W)
    for frames in (1, 7, 39):
        assert (codec.encode(wave_W[: frames * size]) == codes_FK[:frames]).all()


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("cuts", [list(range(60)), [1], [20, 21, 40], [0, 30, 30]])
def test_the_stream_gives_the_samples_of_a_whole_decode(config: NeuralConfig, cuts: list[int]) -> None:
    codec = untrained(config)
    codes_FK = random_codes(codec, 60)
    stream = codec.stream()
    chunks = [stream.push(part) for part in np.split(codes_FK, cuts)]
    assert [len(chunk) for chunk in chunks] == [
        len(part) * codec.samples_per_frame for part in np.split(codes_FK, cuts)
    ]
    assert len(stream.flush()) == 0
    np.testing.assert_allclose(np.concatenate(chunks), codec.decode(codes_FK), atol=1e-5)


@pytest.mark.parametrize("config", SHAPES)
def test_context_frames_are_all_that_a_frame_depends_on(config: NeuralConfig) -> None:
    decoder = neural_decoder(config).double()
    frames, size = 40, config.samples_per_frame
    points_1CF = torch.randn(1, config.dimension, frames, dtype=torch.float64, requires_grad=True)
    decoder(points_1CF)[0, 0, -size:].square().sum().backward()
    assert points_1CF.grad is not None
    touched_F = points_1CF.grad[0].abs().sum(0) > 0
    context = context_frames(decoder)
    assert not touched_F[: frames - 1 - context].any()
    assert touched_F[frames - 1 - context + 1 :].all()  # the bound may be one frame wide of a ragged edge


# ---- training


def test_training_learns_the_waveform() -> None:
    ratios = [signal_to_noise(w, trained().decode(trained().encode(w))[: len(w)]) for w in waveforms()]
    assert np.mean(ratios) > 6  # 8.1 to 8.5 over three seeds; an untrained codec has 0 or less


def test_the_same_seed_trains_the_same_codec() -> None:
    short = NeuralTrainingConfig(steps=8, batch_size=2, crop_samples=512, spectral_windows=(256,))
    first, second, other = (
        train_neural_codec(waveforms(), CONFIG, short, seed, progress=False).fingerprint for seed in (0, 0, 1)
    )
    assert first == second != other


def test_codes_are_those_of_the_quantizer_that_was_trained() -> None:
    module = NeuralTraining(CONFIG, TRAINING)
    vectors_BFC = torch.randn(4, 50, CONFIG.dimension)
    module.quantizer(vectors_BFC)  # starts the codebooks
    module.eval()
    expected = module.quantizer(vectors_BFC)[1]
    found = residual_codes(vectors_BFC.flatten(0, 1), module.codec().codebooks_KQC)
    assert (found == expected.flatten(0, 1)).float().mean() > 0.999  # ties may fall either way


def test_losses_of_equal_and_of_silent_sound() -> None:
    module = NeuralTraining(CONFIG, TRAINING)
    wave_BW = torch.from_numpy(np.stack(waveforms()))
    assert all(loss == 0 for loss in module.losses(wave_BW, wave_BW).values())
    assert module.losses(wave_BW, torch.zeros_like(wave_BW))["waveform"] == pytest.approx(1)
    silent = module.losses(torch.zeros_like(wave_BW), wave_BW)
    assert all(loss.isfinite() for loss in silent.values())


def test_a_crop_is_a_function_of_seed_and_number() -> None:
    crops = Crops(waveforms(), 512, 10, seed=3)
    backwards = [crops[i] for i in reversed(range(10))]
    assert all(torch.equal(crops[i], crop) for i, crop in enumerate(reversed(backwards)))
    assert not torch.equal(crops[0], Crops(waveforms(), 512, 10, seed=4)[0])


def test_no_or_too_little_or_bad_sound() -> None:
    with pytest.raises(ValueError, match="no waveforms to train"):
        train_neural_codec([], CONFIG, TRAINING)
    with pytest.raises(ValueError, match="100 samples of sound to train on, expected at least 1024"):
        train_neural_codec([tone(1)[:100]], CONFIG, TRAINING)
    with pytest.raises(MediaError, match="training waveform 1: 1 of 1 samples are NaN"):
        train_neural_codec([tone(1), np.array([np.nan], np.float32)], CONFIG, TRAINING)


def test_frames_that_are_longer_than_a_crop() -> None:
    config = NeuralConfig(strides=(64, 32), channels=(8, 8))
    message = r"strides \(64, 32\) make frames of 2048 samples, expected at most 1024, the samples of a crop"
    with pytest.raises(ValueError, match=message):
        train_neural_codec(waveforms(), config, TRAINING)


# ---- files and errors


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    trained().save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec.json", "model.safetensors"]
    settings = json.loads((tmp_path / "codec.json").read_text())
    assert (settings["kind"], settings["strides"]) == ("neural", [4, 4])
    loaded = load_codec(tmp_path)
    assert loaded.fingerprint == trained().fingerprint
    codes_FK = trained().encode(tone(2))
    assert (loaded.encode(tone(2)) == codes_FK).all()
    assert (loaded.decode(codes_FK) == trained().decode(codes_FK)).all()


def test_missing_weights_are_named() -> None:
    with pytest.raises(ValueError, match=r"file 'model\.safetensors' is missing"):
        codec_from_files({"codec.json": trained().files()["codec.json"]})


def test_no_frames_and_bad_codes() -> None:
    codec = untrained(CONFIG)
    assert codec.decode(np.zeros((0, 3), np.int64)).shape == (0,)
    with pytest.raises(ValueError, match="audio code 32 at frame 0, codebook 2: expected 0 to 31"):
        codec.decode(np.array([[0, 0, 32]]))
    with pytest.raises(MediaError, match="zero-length audio"):
        codec.encode(np.zeros(0, np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": (4,)}, r"strides \(4,\) and channels \(64, 96\): expected one of each per stage"),
        ({"strides": (4, 0)}, r"strides \(4, 0\): expected each to be at least 1"),
        ({"channels": (64, 0)}, r"channels \(64, 0\): expected each to be at least 1"),
        ({"sample_rate": 0}, "sample_rate is 0, expected at least 1"),
        ({"codebooks": 0}, "0 codebooks of 256 codes"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeuralConfig(**settings)  # type: ignore[arg-type]


def test_bad_training_settings() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        NeuralTrainingConfig(steps=0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        NeuralTrainingConfig(batch_size=0)
    with pytest.raises(ValueError, match=r"unquantised_share is 1"):
        NeuralTrainingConfig(unquantised_share=1.0)
