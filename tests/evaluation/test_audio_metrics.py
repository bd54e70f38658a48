"""Distances between waveforms, on tones."""

from __future__ import annotations

import numpy as np
import pytest

from omni.evaluation.metrics.audio import (
    log_spectral_distance,
    scale_invariant_signal_to_distortion,
    signal_to_noise,
)

RATE = 8000


def tone(hertz: float, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE + phase).astype(np.float32)


def test_signal_to_noise_of_a_known_error() -> None:
    wave_W = tone(440)
    assert signal_to_noise(wave_W, wave_W * np.float32(0.9)) == pytest.approx(20, abs=0.01)
    assert signal_to_noise(wave_W, wave_W) > 150


def test_scale_invariant_distortion_ignores_loudness_and_not_noise() -> None:
    """A second tone, orthogonal to the first and of a tenth of its amplitude, is 20 dB below it at any volume."""
    wave_W = tone(440)
    noisy_W = wave_W + np.float32(0.1) * tone(880)
    for volume in (np.float32(1), np.float32(0.2)):
        found = scale_invariant_signal_to_distortion(wave_W, volume * noisy_W)
        assert found == pytest.approx(20, abs=0.01)
    assert scale_invariant_signal_to_distortion(wave_W, wave_W / 2) > 100


def test_spectral_distance_ignores_phase() -> None:
    wave_W = tone(440)
    assert log_spectral_distance(wave_W, wave_W, RATE) == 0
    moved = log_spectral_distance(wave_W, tone(440, phase=1.0), RATE)
    other = log_spectral_distance(wave_W, tone(660), RATE)
    assert moved < 0.2 * other
    assert signal_to_noise(wave_W, tone(440, phase=1.0)) < 1


def test_spectral_distance_of_a_known_gain() -> None:
    noise_W = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert log_spectral_distance(noise_W, noise_W / 2, RATE) == pytest.approx(6.02, abs=0.01)


def test_silent_originals_are_refused() -> None:
    silence_W = np.zeros(RATE, dtype=np.float32)
    with pytest.raises(ValueError, match="silent"):
        signal_to_noise(silence_W, tone(440))
    with pytest.raises(ValueError, match="silent"):
        scale_invariant_signal_to_distortion(silence_W, tone(440))
    with pytest.raises(ValueError, match="silent"):
        log_spectral_distance(silence_W, tone(440), RATE)
