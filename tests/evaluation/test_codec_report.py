"""What the report says of a codec that keeps everything, and of one that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from omni.evaluation.codec import codec_report
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.tokenizers.audio.base import AudioCodec, StreamDecoder
from tests.evaluation.real import Clips

NEVER = "a report encodes and decodes, and asks nothing else"


class Samples(AudioCodec):
    """Codes are the samples times a gain; decoding returns two samples more, as codecs with frames do."""

    sample_rate = 8000

    def __init__(self, gain: int) -> None:
        self.gain = gain

    def stream(self) -> StreamDecoder:
        raise AssertionError(NEVER)

    def files(self) -> dict[str, bytes]:
        raise AssertionError(NEVER)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> AudioCodec:
        raise AssertionError(NEVER)

    def encode(self, waveform_W: np.ndarray) -> np.ndarray:
        return np.rint(waveform_W * self.gain).astype(np.int64)[:, None]

    def decode(self, codes_FK: np.ndarray) -> np.ndarray:
        return np.pad(codes_FK[:, 0], (0, 2)).astype(np.float32) / 32_767


def test_a_codec_that_keeps_everything(
    speech_judge: SpeechJudge, sphinx_judge: SphinxJudge, real_speech: tuple[Clips, Clips]
) -> None:
    clips, words = real_speech[1][0][:40], real_speech[1][1][:40]
    steps: list[tuple[int, int]] = []
    report = codec_report(
        Samples(32_767),
        clips,
        words,
        speech_judge,
        sphinx_judge,
        progress=lambda *step: steps.append(step),
    )
    assert report["codec_judged"] == report["original_judged"] >= 0.95
    assert report["codec_pocketsphinx"] == pytest.approx(report["original_pocketsphinx"], abs=0.05)
    assert report["codec_snr_db"] > 50
    assert report["codec_log_spectral_distance_db"] < 1
    assert steps[-1] == (40, 40)


def test_a_codec_that_keeps_nothing(speech_judge: SpeechJudge, real_speech: tuple[Clips, Clips]) -> None:
    clips, words = real_speech[1][0][:20], real_speech[1][1][:20]
    report = codec_report(Samples(0), clips, words, speech_judge)
    assert set(report) == {
        "original_judged",
        "codec_judged",
        "codec_snr_db",
        "codec_log_spectral_distance_db",
    }
    assert report["codec_judged"] == 0
    assert report["codec_snr_db"] == pytest.approx(0, abs=1e-6)
    assert report["codec_log_spectral_distance_db"] > 10


def test_clips_and_words_must_match(speech_judge: SpeechJudge) -> None:
    with pytest.raises(ValueError, match="got 0 and 1"):
        codec_report(Samples(1), [], ["one"], speech_judge)
