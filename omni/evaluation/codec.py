"""What an audio codec keeps of speech: what judges still hear, and how far its copies are off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.metrics.audio import log_spectral_distance, signal_to_noise
from omni.media import resample
from omni.sequence import Audio
from omni.tokenizers.audio.base import AudioCodec


def reconstructed(codec: AudioCodec, clip: Audio) -> tuple[Audio, Audio]:
    """The clip at the codec's sample rate, and what the codec makes of it, of equal length."""
    original_W = resample(clip.waveform, clip.sample_rate, codec.sample_rate)
    copy_W = codec.decode(codec.encode(original_W))[: len(original_W)]
    return Audio(original_W, codec.sample_rate), Audio(copy_W, codec.sample_rate)


def codec_report(
    codec: AudioCodec,
    clips: Sequence[Audio],
    words: Sequence[str],
    speech: SpeechJudge,
    sphinx: SphinxJudge | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Shares of clips that each judge hears right before and after the codec, and mean distances in dB.

    ``speech`` gives ``codec_judged`` and ``original_judged``, ``sphinx`` ``codec_pocketsphinx`` and
    ``original_pocketsphinx``; ``codec_snr_db`` and ``codec_log_spectral_distance_db`` need no judge.
    ``progress`` is called with the number of clips coded and in all.
    """
    if not clips or len(clips) != len(words):
        raise ValueError(f"a codec report needs clips and a word for each, got {len(clips)} and {len(words)}")
    originals, copies = [], []
    for clip in clips:
        original, copy = reconstructed(codec, clip)
        originals.append(original)
        copies.append(copy)
        if progress is not None:
            progress(len(copies), len(clips))
    report = {}
    for name, listener in (("judged", speech), ("pocketsphinx", sphinx)):
        if listener is not None:
            report[f"original_{name}"] = _heard_right(listener, originals, words)
            report[f"codec_{name}"] = _heard_right(listener, copies, words)
    pairs = [(a.waveform, b.waveform) for a, b in zip(originals, copies, strict=True)]
    distances = [log_spectral_distance(a_W, b_W, codec.sample_rate) for a_W, b_W in pairs]
    report["codec_snr_db"] = float(np.mean([signal_to_noise(a_W, b_W) for a_W, b_W in pairs]))
    report["codec_log_spectral_distance_db"] = float(np.mean(distances))
    return report


def _heard_right(listener: SpeechJudge | SphinxJudge, clips: Sequence[Audio], words: Sequence[str]) -> float:
    verdicts = listener.judge(clips)
    return float(np.mean([verdict.answer == word for verdict, word in zip(verdicts, words, strict=True)]))
