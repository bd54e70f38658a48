"""Figures of a codec on clips."""

from __future__ import annotations

import numpy as np
import pytest

from omni.evaluation.codec_check import LevelUsage, check_codec, codebook_usage
from omni.evaluation.metrics.audio import signal_to_noise
from tests.tiny import tiny_tokenizers, tone


def test_usage_of_codebooks() -> None:
    codes_FK = np.array([[0, 7], [1, 7], [2, 7], [3, 7]])
    first, second = codebook_usage(codes_FK)
    assert (first.used, first.perplexity) == (4, pytest.approx(4))
    assert second == LevelUsage(1, 1.0)
    (uneven,) = codebook_usage(np.array([[0], [0], [0], [1]]))
    assert uneven.perplexity == pytest.approx(2 ** (0.75 * np.log2(4 / 3) + 0.25 * 2))


def test_figures() -> None:
    codec = tiny_tokenizers().audio
    clips = [tone(1), np.zeros(800, np.float32), tone(2, seconds=0.3)]
    check = check_codec(codec, clips)
    assert (check.clips, check.silent_clips) == (3, 1)
    assert check.seconds == pytest.approx(0.6)
    ratios = [signal_to_noise(w, codec.decode(codec.encode(w))[: len(w)]) for w in (clips[0], clips[2])]
    assert check.snr_db == pytest.approx(np.mean(ratios))
    assert check.snr_db is not None and check.si_sdr_db is not None
    assert check.si_sdr_db <= check.snr_db + 20
    assert check.log_spectral_distance_db is not None and check.log_spectral_distance_db < 20
    assert len(check.codebooks) == 3


def test_silence_alone_has_no_ratio() -> None:
    check = check_codec(tiny_tokenizers().audio, [np.zeros(800, np.float32)])
    assert (check.silent_clips, check.snr_db, check.si_sdr_db, check.log_spectral_distance_db) == (
        1,
        *[None] * 3,
    )


def test_no_clips() -> None:
    with pytest.raises(ValueError, match="no waveforms to check"):
        check_codec(tiny_tokenizers().audio, [])
