"""The spectral codec: shapes, what it keeps, the stream, the files and the errors."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.evaluation.metrics.audio import log_spectral_distance
from omni.media import MediaError
from omni.sequence import Audio
from omni.tokenizers.audio.registry import codec_from_files, load_codec
from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig
from tests.tiny import tone

CONFIG = SpectralConfig(components=16, codebooks=3, codebook_size=16, phase_iterations=16)


def waveforms() -> list[np.ndarray]:
    return [*(tone(digit, seconds=0.5) for digit in range(10)), np.zeros(4_000, np.float32)]


@cache
def codec() -> SpectralCodec:
    return SpectralCodec.fit(waveforms(), CONFIG)


def npy(array: np.ndarray) -> bytes:
    """A ``.npy`` file, of objects, too."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def random_codes(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 16, (frames, 3))


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (319, 1), (320, 1), (321, 2), (4_800, 15)])
def test_shapes(samples: int, frames: int) -> None:
    codes_FK = codec().encode(tone(3, seconds=1)[:samples])
    assert codes_FK.shape == (frames, 3)
    assert codes_FK.dtype == np.int64
    assert codes_FK.min() >= 0 and codes_FK.max() < 16
    wave_W = codec().decode(codes_FK)
    assert wave_W.shape == (frames * 320,)
    assert wave_W.dtype == np.float32


def test_the_numbers_of_a_codec() -> None:
    ours = codec()
    assert (ours.sample_rate, ours.samples_per_frame, ours.frame_rate) == (8_000, 320, 25.0)
    assert (ours.codebooks, ours.codebook_size) == (3, 16)


@pytest.mark.parametrize("digit", [0, 4, 9])
def test_the_spectrum_is_kept(digit: int) -> None:
    original_W = tone(digit, seconds=0.48)
    copy_W = codec().decode(codec().encode(original_W))[: len(original_W)]
    assert log_spectral_distance(original_W, copy_W, 8_000) < 6
    peaks = [int(np.abs(np.fft.rfft(wave_W)).argmax()) for wave_W in (original_W, copy_W)]
    assert abs(peaks[0] - peaks[1]) <= 7  # 15 Hz: half the distance of two frequencies of the spectrogram


def test_more_codebooks_keep_more() -> None:
    distances = []
    for codebooks in (1, 3):
        config = SpectralConfig(components=16, codebooks=codebooks, codebook_size=4, phase_iterations=16)
        ours = SpectralCodec.fit(waveforms(), config)
        copies = [ours.decode(ours.encode(wave_W))[: len(wave_W)] for wave_W in waveforms()[:10]]
        distances.append(
            np.mean([log_spectral_distance(a, b, 8_000) for a, b in zip(waveforms(), copies, strict=False)])
        )
    assert distances[1] < distances[0] - 1


def test_silence_comes_back_silent() -> None:
    assert np.abs(codec().decode(codec().encode(np.zeros(1_000, np.float32)))).max() < 0.01


@given(
    samples=st.integers(1, 2_000),
    kind=st.sampled_from(["noise", "impulse", "constant", "square"]),
    level=st.sampled_from([1e-6, 0.1, 1.0]),
)
def test_any_sound_comes_back_finite_and_in_range(samples: int, kind: str, level: float) -> None:
    wave_W = {
        "noise": np.random.default_rng(samples).uniform(-1, 1, samples),
        "impulse": np.eye(1, samples)[0],
        "constant": np.ones(samples),
        "square": np.sign(np.sin(np.arange(samples))),
    }[kind]
    copy_W = codec().decode(codec().encode((level * wave_W).astype(np.float32)))
    assert len(copy_W) == -(-samples // 320) * 320
    assert np.abs(copy_W).max() <= 1


def test_decoding_is_deterministic_and_no_frames_are_no_sound() -> None:
    assert (codec().decode(random_codes(7)) == codec().decode(random_codes(7))).all()
    assert codec().decode(np.zeros((0, 3), np.int64)).shape == (0,)


def test_the_same_seed_fits_the_same_codec() -> None:
    assert SpectralCodec.fit(waveforms(), CONFIG).fingerprint == codec().fingerprint
    assert SpectralCodec.fit(waveforms(), CONFIG, seed=1).fingerprint != codec().fingerprint


def test_clips_at_other_rates_are_resampled() -> None:
    original_W = tone(5, seconds=0.4)
    doubled = Audio(np.repeat(original_W, 2), 16_000)
    assert codec().encode_audio(doubled).shape == codec().encode(original_W).shape
    assert (
        codec().encode_audio(Audio(original_W, 8_000, codes=random_codes(2))).tolist()
        == random_codes(2).tolist()
    )


# ---- stream


@pytest.mark.parametrize("cuts", [[], [1, 2, 3], [5], [0, 7, 7, 12]])
def test_the_stream_sounds_the_same_however_it_is_fed(cuts: list[int]) -> None:
    parts = np.split(random_codes(12), cuts)
    stream, whole = codec().stream(), codec().stream()
    fed = np.concatenate([*(stream.push(part) for part in parts), stream.flush()])
    at_once = np.concatenate([whole.push(random_codes(12)), whole.flush()])
    assert fed.shape == (12 * 320,)
    assert (fed == at_once).all()


def test_the_stream_is_one_frame_late() -> None:
    stream = codec().stream()
    lengths = [len(stream.push(random_codes(1, seed))) for seed in range(7)]
    assert lengths == [0, 320, 320, 320, 320, 320, 320]
    assert len(stream.flush()) == 320
    assert len(stream.flush()) == 0


def test_the_stream_keeps_the_spectrum_without_clicks() -> None:
    original_W = tone(4, seconds=0.48)
    stream = codec().stream()
    codes_FK = codec().encode(original_W)
    copy_W = np.concatenate([*(stream.push(code_K[None]) for code_K in codes_FK), stream.flush()])
    assert log_spectral_distance(original_W, copy_W[: len(original_W)], 8_000) < 8
    jumps = np.abs(np.diff(copy_W))
    assert jumps[319::320].max() < 1.5 * jumps.max()
    assert jumps[319::320].max() < 2 * np.abs(np.diff(original_W)).max()


# ---- files


def test_files() -> None:
    files = codec().files()
    assert sorted(files) == ["basis.npy", "codebooks.npy", "codec.json", "mean.npy"]
    settings = json.loads(files["codec.json"])
    assert (settings["kind"], settings["hop"], settings["codebooks"]) == ("spectral", 80, 3)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    codec().save(tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert isinstance(loaded, SpectralCodec)
    assert loaded.fingerprint == codec().fingerprint
    codes_FK = codec().encode(tone(2))
    assert (loaded.encode(tone(2)) == codes_FK).all()
    assert (loaded.decode(codes_FK) == codec().decode(codes_FK)).all()


def test_a_missing_file_is_named() -> None:
    files = {name: content for name, content in codec().files().items() if name != "mean.npy"}
    with pytest.raises(ValueError, match=r"file 'mean.npy' is missing, found \['basis.npy', "):
        codec_from_files(files)


def test_an_unknown_setting_is_named() -> None:
    files = codec().files()
    files["codec.json"] = b'{"kind": "spectral", "hops": 80}'
    with pytest.raises(ValueError, match=r"codec.json: no settings of a SpectralConfig .*'hops'"):
        codec_from_files(files)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04]\x94.",
        npy(np.array([{}])),
        npy(np.zeros(16))[:-1],
        npy(np.zeros(16)).replace(b"}", b"{"),
    ],
    ids=["empty", "pickle", "objects", "cut off", "broken header"],
)
def test_an_array_that_is_pickled_or_damaged_is_named(content: bytes) -> None:
    files = codec().files() | {"mean.npy": content}
    message = rf"audio codec: mean\.npy: {len(content)} bytes, no \.npy file of numbers, or damaged$"
    with pytest.raises(ValueError, match=message):
        codec_from_files(files)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "1 bytes, no JSON (Expecting property name"),
        (b"\xff", "1 bytes, no JSON ("),
        (b"[]", "expected a JSON object, got []"),
        (b"{}", "expected a name under 'kind', got {}"),
        (b'{"kind": []}', "expected a name under 'kind', got {'kind': []}"),
    ],
)
def test_settings_that_are_damaged_are_named(content: bytes, message: str) -> None:
    files = codec().files() | {"codec.json": content}
    with pytest.raises(ValueError, match=re.escape(f"audio codec: codec.json: {message}")):
        codec_from_files(files)


# ---- errors


@pytest.mark.parametrize(
    ("wave", "message"),
    [([], "zero-length audio"), ([0.0, np.nan], "1 of 2 samples are NaN or infinite"), ([np.inf], "1 of 1")],
)
def test_unusable_waveforms(wave: list[float], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        codec().encode(np.array(wave, np.float32))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 4), np.int64), r"codes of shape \(2, 4\), expected \(frames, 3\)"),
        (np.array([[0, 0, 0], [0, 16, 0]]), "audio code 16 at frame 1, codebook 1: expected 0 to 15"),
        (np.array([[-1, 0, 0]]), "audio code -1 at frame 0, codebook 0"),
    ],
)
def test_bad_codes(codes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec().decode(codes)
    with pytest.raises(ValueError, match=message):
        codec().stream().push(codes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": 517}, "components is 517, expected 1 to 516"),
        ({"hop": 200}, "hop is 200, expected 1 to n_fft / 2 = 128"),
        ({"codebook_size": 1}, "codebook_size is 1, expected 2 to 65536"),
        ({"codebooks": 0}, "codebooks is 0, expected at least 1"),
    ],
)
def test_bad_settings(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectralConfig(**settings)


def test_nothing_to_fit_to() -> None:
    with pytest.raises(ValueError, match="no waveforms to fit"):
        SpectralCodec.fit([], CONFIG)
    with pytest.raises(ValueError, match="1 frames of audio to fit codebooks of 16 codes"):
        SpectralCodec.fit([np.ones(100, np.float32)], CONFIG)


def test_other_sample_rates_have_the_same_frame_rate() -> None:
    for rate in (8_000, 16_000, 24_000, 44_100):
        config = SpectralConfig.at(rate, codebooks=2)
        assert rate / (config.hop * config.columns_per_frame) == 25
        assert config.codebooks == 2
    assert SpectralConfig.at(8_000) == SpectralConfig()
    with pytest.raises(ValueError, match="sample rate 22050 Hz: a spectral codec needs a multiple of 100"):
        SpectralConfig.at(22_050)
