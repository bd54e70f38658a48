"""Power spectra of waveforms, of the judges' own and no codec's making."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def power_spectrum(
    waveform_W: Float[np.ndarray, " W"], window: int, hop: int, size: int
) -> Float[np.ndarray, "frames bins"]:
    """One row per ``hop`` samples, each from ``window`` samples around (Hann); ``size // 2 + 1`` bins."""
    padded = np.pad(waveform_W, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(window), size)))
