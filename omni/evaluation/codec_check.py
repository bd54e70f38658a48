"""What an audio codec keeps of any sound, without judges, and how evenly its codes are used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from omni.evaluation.metrics.audio import (
    log_spectral_distance,
    scale_invariant_signal_to_distortion,
    signal_to_noise,
)
from omni.tokenizers.audio.base import AudioCodec


@dataclass(frozen=True)
class LevelUsage:
    """Use of the codes of one codebook."""

    used: int
    """Codes that came up at all."""
    perplexity: float
    """Codes that would carry as much if all were equally frequent; at most Q."""


@dataclass(frozen=True)
class CodecCheck:
    """Figures of a codec on some clips."""

    clips: int
    """Clips that were coded."""
    silent_clips: int
    """Those of them that are digital silence: they have no signal-to-noise ratio and are left out of the means."""
    seconds: float
    """Their duration together."""
    snr_db: float | None
    """Mean signal-to-noise ratio; about 0 or less for a codec that makes up the phase, which says nothing."""
    si_sdr_db: float | None
    """The same with the loudness of the original fitted to the copy."""
    log_spectral_distance_db: float | None
    """Mean distance of the spectra, phase ignored."""
    codebooks: list[LevelUsage]
    """Use of each codebook, the first level first."""


def codebook_usage(codes_FK: Int[np.ndarray, "F K"]) -> list[LevelUsage]:
    """Use of each codebook over at least one frame."""
    levels = []
    for codes_F in codes_FK.T:
        _, count = np.unique(codes_F, return_counts=True)
        share = count / len(codes_F)
        levels.append(LevelUsage(len(count), float(np.exp(-(share * np.log(share)).sum()))))
    return levels


def check_codec(codec: AudioCodec, waveforms: Iterable[Float[np.ndarray, " _"]]) -> CodecCheck:
    """Code waveforms at the codec's sample rate and compare.

    Raises:
        ValueError: no waveforms.
    """
    codes: list[Int[np.ndarray, "_ K"]] = []
    ratios: list[tuple[float, float]] = []
    distances: list[float] = []
    samples = 0
    for original_W in waveforms:
        codes.append(codec.encode(original_W))
        samples += len(original_W)
        if original_W.any():
            copy_W = codec.decode(codes[-1])[: len(original_W)]
            fitted = scale_invariant_signal_to_distortion(original_W, copy_W)
            ratios.append((signal_to_noise(original_W, copy_W), fitted))
            distances.append(log_spectral_distance(original_W, copy_W, codec.sample_rate))
    if not codes:
        raise ValueError("no waveforms to check an audio codec with")
    snr_db, si_sdr_db = (float(x) for x in np.mean(ratios, axis=0)) if ratios else (None, None)
    return CodecCheck(
        clips=len(codes),
        silent_clips=len(codes) - len(ratios),
        seconds=samples / codec.sample_rate,
        snr_db=snr_db,
        si_sdr_db=si_sdr_db,
        log_spectral_distance_db=float(np.mean(distances)) if distances else None,
        codebooks=codebook_usage(np.concatenate(codes)),
    )
