"""The Fourier transform and its inverse, and phases found by Griffin-Lim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omni.tokenizers.audio.stft import Stft, griffin_lim

STFT = Stft(n_fft=256, hop=80)


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1)


def chord(samples: int) -> torch.Tensor:
    time_W = torch.arange(samples) / 8_000
    return 0.3 * torch.sin(2 * torch.pi * 440 * time_W) + 0.2 * torch.sin(2 * torch.pi * 1_250 * time_W)


@given(columns=st.integers(1, 40), n_fft=st.integers(20, 300), hop=st.integers(1, 100))
def test_inverse_undoes_forward(columns: int, n_fft: int, hop: int) -> None:
    stft = Stft(n_fft, min(hop, n_fft // 2))
    wave_W = noise(columns * stft.hop)
    spectrum = stft.forward(stft.extend(wave_W))
    assert spectrum.shape == (columns, stft.bins)
    torch.testing.assert_close(stft.trim(stft.inverse(spectrum)), wave_W, atol=1e-5, rtol=1e-4)


def test_overlap_add_is_the_loop_over_columns() -> None:
    pieces = noise(7 * 256).view(7, 256)
    expected = torch.zeros(6 * 80 + 256)
    for column in range(7):
        expected[column * 80 : column * 80 + 256] += pieces[column]
    torch.testing.assert_close(STFT._overlap_add(pieces), expected)


def error_db(magnitude: torch.Tensor, wave_W: torch.Tensor) -> float:
    made = STFT.forward(STFT.extend(wave_W)).abs()
    return float(20 * torch.log10((made - magnitude).norm() / magnitude.norm()))


def test_griffin_lim_finds_a_sound_with_the_magnitudes() -> None:
    magnitude = STFT.forward(STFT.extend(chord(3_200))).abs()
    wave_W = griffin_lim(STFT, magnitude, iterations=48, momentum=0.99)
    assert wave_W.shape == (3_200,)
    assert error_db(magnitude, wave_W) < -20
    assert torch.equal(wave_W, griffin_lim(STFT, magnitude, iterations=48, momentum=0.99))


def test_griffin_lim_goes_on_from_what_was_played() -> None:
    whole_W = chord(3_200)
    magnitude = STFT.forward(STFT.extend(whole_W)).abs()
    made_W = griffin_lim(STFT, magnitude, iterations=48, momentum=0.99, past_W=whole_W[:1_600])
    seam = slice(1_590, 1_650)  # a wrong phase would be off by up to 1
    assert (made_W[seam] - whole_W[seam]).abs().max() < 0.15


def test_silence_stays_silent() -> None:
    assert griffin_lim(STFT, torch.zeros(8, STFT.bins), 4, 0.99).abs().max() == 0


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_few_columns(columns: int) -> None:
    assert griffin_lim(STFT, torch.ones(columns, STFT.bins), 4, 0.99).isfinite().all()
