"""Spoken words as vectors of fixed length: log-mel spectrograms, stretched to the same number of columns."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

from omni.evaluation.judges.clips import tight_clip
from omni.evaluation.spectrum import power_spectrum
from omni.media import resample
from omni.sequence import Audio

RATE = 8_000
"""Sample rate that clips are brought to, Hz."""
BANDS = 32
COLUMNS = 24

_WINDOW, _HOP, _FFT = 200, 80, 256  # 25 ms, 10 ms
_LOWEST, _HIGHEST = 60.0, 3_900.0  # Hz
_RANGE = 45.0  # dB below the loudest value that are still told from silence
_COLOUR = 0.5  # share of a band's mean that is taken out: microphones and codecs colour the sound


def heard_part(clip: Audio) -> Float[np.ndarray, " W"] | None:
    """The clip at ``RATE`` without silence at its ends; ``None`` where there is nothing to hear."""
    tight = tight_clip(clip.waveform, clip.sample_rate)
    return None if tight is None else resample(tight, clip.sample_rate, RATE)


def word_features(tight_W: Float[np.ndarray, " W"]) -> Float[np.ndarray, " values"]:
    """``COLUMNS`` x ``BANDS`` levels in units of 10 dB, and the duration, of what ``heard_part`` gives."""
    power = 10 * np.log10(power_spectrum(tight_W, _WINDOW, _HOP, _FFT) @ _mel_filters().T + 1e-12)
    loudness = np.maximum(power - power.max(), -_RANGE)
    columns = _stretched(loudness) / 10
    columns = columns - _COLOUR * columns.mean(axis=0)
    seconds = len(tight_W) / RATE
    return np.append(columns.ravel(), 5 * seconds).astype(np.float32)


def _stretched(frames: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "columns bands"]:
    """Linear interpolation to ``COLUMNS`` frames: fast and slow speech look alike."""
    places = np.linspace(0, len(frames) - 1, COLUMNS)
    before = places.astype(int)
    after = np.minimum(before + 1, len(frames) - 1)
    weight = (places - before)[:, None]
    return frames[before] * (1 - weight) + frames[after] * weight


@cache
def _mel_filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles that overlap by half, evenly spaced in mel (2595 log10(1 + f / 700))."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST, _HIGHEST))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / RATE)
    left, top, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - left) / (top - left), (right - bins) / (right - top)), 0, None)
