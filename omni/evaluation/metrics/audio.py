"""How close a reconstructed waveform comes to the original."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from omni.evaluation.spectrum import power_spectrum

_WINDOW_SECONDS, _HOP_SECONDS = 0.032, 0.010
_FLOOR = 10 ** (-60 / 10)  # of the original's loudest value; what is weaker counts as this


def signal_to_noise(original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"]) -> float:
    """Power of the original over power of the difference, dB; over 150 for equal ones.

    A codec that keeps the spectrum and makes up the phase sounds right at 0 dB; for it there is
    ``log_spectral_distance``.
    """
    from torchmetrics.functional.audio import signal_noise_ratio

    original, copy = _in_fp64(original_W, copy_W)
    return float(signal_noise_ratio(copy, original))


def scale_invariant_signal_to_distortion(
    original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"]
) -> float:
    """``signal_to_noise`` with the original scaled to fit best, dB (SI-SDR, arXiv 1811.02508): loudness is ignored."""
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    original, copy = _in_fp64(original_W, copy_W)
    return float(scale_invariant_signal_distortion_ratio(copy, original))


def _in_fp64(
    original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"]
) -> tuple[torch.Tensor, torch.Tensor]:
    if not original_W.any():
        raise ValueError(f"the original is silent ({len(original_W)} samples): no signal-to-noise ratio")
    return torch.from_numpy(original_W.astype(np.float64)), torch.from_numpy(copy_W.astype(np.float64))


def log_spectral_distance(
    original_W: Float[np.ndarray, " W"], copy_W: Float[np.ndarray, " W"], sample_rate: int
) -> float:
    """Root mean square difference of the spectra in dB, averaged over frames of 32 ms; 0 for equal sound.

    Phase is ignored, and so is what lies 60 dB under the loudest part of the original. (Written here: torchmetrics
    has no distance of spectra.)
    """
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    original, copy = (power_spectrum(wave_W, window, hop, window) for wave_W in (original_W, copy_W))
    floor = _FLOOR * original.max()
    if floor == 0:
        raise ValueError(f"the original is silent ({len(original_W)} samples): no spectrum to compare with")
    difference = 10 * np.log10(np.maximum(original, floor) / np.maximum(copy, floor))
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())
