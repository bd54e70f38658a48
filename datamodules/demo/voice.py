"""How a word is said, measured on its waveform: how long it takes, how loud it is, how far its pitch moves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from omni.sequence import Audio

_FRAME, _HOP = 0.04, 0.01  # seconds
_LOWEST, _HIGHEST = 70.0, 400.0  # Hz
_VOICED = 0.5  # of the autocorrelation at no delay
_LOUD = 0.1  # of the loudest frame's energy; quieter frames have no pitch that can be trusted
_NEARLY = 0.9
_FEWEST = 6  # voiced frames
_SLIP = 0.75  # octaves from the median; frames further off were taken for an octave higher or lower


def level_db(audio: Audio) -> float:
    """Root mean square in dB of full scale."""
    return float(10 * np.log10(np.square(audio.waveform.astype(np.float64)).mean() + 1e-12))


def at_level(audio: Audio, db: float) -> Audio:
    """The clip at another level, but not so loud that it would be cut off."""
    gain = min(10 ** ((db - level_db(audio)) / 20), 1 / max(float(np.abs(audio.waveform).max()), 1e-9))
    return Audio(waveform=(audio.waveform * gain).astype(np.float32), sample_rate=audio.sample_rate)


def pitch_range(audio: Audio) -> float | None:
    """Semitones between the 10th and the 90th percentile of the pitch; none of a clip with hardly any.

    The pitch of a frame of 40 ms is the delay of the highest peak of its autocorrelation between 70 and 400 Hz,
    where that is half of the energy or more (Rabiner 1977). The autocorrelation is divided by that of the window,
    which would favour short delays (Boersma 1993).
    """
    pitches = pitch_track(audio.waveform, audio.sample_rate)
    if len(pitches):
        pitches = pitches[np.abs(np.log2(pitches / np.median(pitches))) < _SLIP]
    if len(pitches) < _FEWEST:
        return None
    low, high = np.percentile(12 * np.log2(pitches), [10, 90])
    return float(high - low)


def pitch_track(waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> Float[np.ndarray, " voiced"]:
    """Pitches in Hz of the frames that have one."""
    size, hop = round(_FRAME * sample_rate), round(_HOP * sample_rate)
    if len(waveform_W) < size:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(waveform_W.astype(np.float64), size)[::hop]
    window = np.hanning(size)
    frames = (frames - frames.mean(1, keepdims=True)) * window
    correlation = _autocorrelation(frames) / np.maximum(_autocorrelation(window[None]), 1e-9)
    energy = correlation[:, 0]
    first, last = int(sample_rate / _HIGHEST), min(int(sample_rate / _LOWEST), size // 2)
    delays = correlation[:, first : last + 1]
    # twice the period is as good a peak as the period: the first that is nearly as high as the highest counts
    early = (delays >= _NEARLY * delays.max(1, keepdims=True)).argmax(1)
    place = np.arange(delays.shape[1])
    near = (place >= early[:, None]) & (place < early[:, None] + first)
    best = np.where(near, delays, -np.inf).argmax(1)
    height = delays[np.arange(len(delays)), best] / np.maximum(energy, 1e-12)
    inside = (best > 0) & (best < delays.shape[1] - 1)  # a peak, not the slope at an end
    voiced = (height >= _VOICED) & inside & (energy >= _LOUD * energy.max())
    return sample_rate / (first + best[voiced])


def _autocorrelation(frames: Float[np.ndarray, "frames size"]) -> Float[np.ndarray, "frames delays"]:
    """By the Fourier transform, padded so that ends don't meet."""
    size = frames.shape[1]
    power = np.abs(np.fft.rfft(frames, 2 * size, axis=1)) ** 2
    return np.fft.irfft(power, axis=1)[:, :size]
