"""Clips as files, whole and in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.media import resample
from omni.serve.resampler import StreamResampler
from omni.serve.sound import MEDIA_TYPES, encode_sound, encoder_of
from tests.serve.talk import samples_of
from tests.tiny import SAMPLE_RATE, tone


@settings(max_examples=25)
@given(
    st.sampled_from(
        [(8000, 24000), (16000, 24000), (24000, 24000), (44100, 24000), (48000, 24000), (7350, 24000)]
    ),
    st.lists(st.integers(0, 900), max_size=8),
)
def test_pieces_become_the_samples_of_the_whole(rates: tuple[int, int], lengths: list[int]) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, sum(lengths)).astype(np.float32)
    resampler = StreamResampler(*rates)
    cuts = np.cumsum([0, *lengths])[1:-1]
    parts = [resampler.push(piece) for piece in np.split(wave, cuts)] + [resampler.flush()]
    whole = resample(wave, *rates) if len(wave) else wave
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-6)


def test_samples_are_given_before_the_end() -> None:
    resampler = StreamResampler(8000, 24000)
    assert len(resampler.push(np.zeros(1600, np.float32))) > 4500


@pytest.mark.parametrize("format_", sorted(set(MEDIA_TYPES) - {"pcm", "pcm16"}))
def test_files_can_be_read_again(format_: str) -> None:
    wave = tone(3, 0.5)
    encoder = encoder_of(format_, SAMPLE_RATE)
    pieces = b"".join(encoder.push(part) for part in np.split(wave, 4)) + encoder.flush()
    whole = encode_sound(wave, SAMPLE_RATE, format_)
    for content in (whole,) if format_ == "wav" else (whole, pieces):
        samples, rate = samples_of(content)
        assert len(samples) / rate == pytest.approx(0.5, abs=0.1)
        assert np.abs(samples).max() == pytest.approx(np.abs(wave).max(), rel=0.3)
    if format_ == "wav":  # its header does not know the length yet
        assert pieces[44:] == whole[44:]
        assert pieces[:4] == whole[:4] == b"RIFF"


def test_raw_samples_have_24_kilohertz() -> None:
    assert len(encode_sound(tone(3, 0.5), SAMPLE_RATE, "pcm")) == 2 * 12_000
