"""How close a reconstructed waveform comes to the original."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from omni.evaluation.spectrum import power_spectrum

_WINDOW_SECONDS, _HOP_SECONDS = 0.032, 0.010
_FLOOR = 10 ** (-60 / 10)  # of the original's loudest value; what is weaker counts as this


def signal_to_noise(original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"]) -> float:
    """Power of the original over power of the difference, dB.

    A codec that keeps the spectrum and makes up the phase sounds right at 0 dB; for it there is
    ``log_spectral_distance``.
    """
    noise = float(np.square(original_W.astype(np.float64) - copy_W).sum())
    signal = float(np.square(original_W.astype(np.float64)).sum())
    if signal == 0:
        raise ValueError(f"the original is silent ({len(original_W)} samples): no signal-to-noise ratio")
    return float("inf") if noise == 0 else 10 * np.log10(signal / noise)


def log_spectral_distance(
    original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"], sample_rate: int
) -> float:
    """Root mean square difference of the spectra in dB, averaged over frames of 32 ms; 0 for equal sound.

    Phase is ignored, and so is what lies 60 dB under the loudest part of the original.
    """
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    original, copy = (power_spectrum(wave_W, window, hop, window) for wave_W in (original_W, copy_W))
    floor = _FLOOR * original.max()
    if floor == 0:
        raise ValueError(f"the original is silent ({len(original_W)} samples): no spectrum to compare with")
    difference = 10 * np.log10(np.maximum(original, floor) / np.maximum(copy, floor))
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())
