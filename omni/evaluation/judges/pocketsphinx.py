"""An outside judge of speech: PocketSphinx with its own English model, given a list of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from omni.evaluation.judges.clips import LEVEL, tight_clip
from omni.evaluation.judges.verdict import NOTHING, Verdict
from omni.media import resample
from omni.sequence import Audio

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE = 16_000
"""Sample rate of its English model, Hz."""

_PADDING = 0.2  # seconds at either end; its mean normalisation suffers from more, its silence model from less
# Digital silence and empty bands are unlike anything that it was trained on.
_NOISE = LEVEL * 10 ** (-26 / 20)
_MIRROR = 0.5  # of what lies below 4 kHz, added mirrored above 4 kHz to clips that have nothing there


class SphinxJudge:
    """Says which of ``words`` a clip holds, or ``None`` if it hears none of them.

    It was trained on nothing of the corpus: a weaker ear than ``SpeechJudge`` but an independent one. Each clip is
    normalised by itself: its verdict doesn't depend on the clips before it. 10 to 20 ms a clip.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Load the recogniser.

        Raises:
            ImportError: PocketSphinx isn't installed.
            ValueError: a word isn't in its dictionary.
        """
        self.words = tuple(words)
        self._decoder = _decoder(self.words)

    def judge(self, clips: Sequence[Audio]) -> list[Verdict]:
        """What each clip says."""
        return [self._judge(clip) for clip in clips]

    def _judge(self, clip: Audio) -> Verdict:
        tight_W = tight_clip(clip.waveform, clip.sample_rate)
        if tight_W is None:
            return NOTHING
        samples = _wide_band(tight_W, clip.sample_rate)
        padded = np.pad(samples, round(_PADDING * RATE))
        padded = padded + np.random.default_rng(0).normal(0, _NOISE, len(padded))
        pcm = (np.clip(padded, -1, 1) * 32_767).astype("<i2").tobytes()
        self._decoder.reinit_feat()  # else its noise estimate goes on from the clip before
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return NOTHING if heard is None else Verdict(heard.hypstr)


def _decoder(words: tuple[str, ...]) -> Decoder:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise ImportError(
            "the second judge of speech needs PocketSphinx: run `pip install -e '.[demo]'`"
        ) from error
    decoder = Decoder(samprate=RATE, lm=None, bestpath=False, loglevel="FATAL")
    unknown = [word for word in words if decoder.lookup_word(word) is None]
    if unknown or not words:
        raise ValueError(
            f"words for PocketSphinx: {unknown or 'none'} of {list(words)} not in its English dictionary"
        )
    decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar words; public <word> = {' | '.join(words)};")
    decoder.activate_search("words")
    return decoder


def _wide_band(waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> Float[np.ndarray, " other"]:
    """The clip at ``RATE``; one that ends at 4 kHz gets its own fricatives above that."""
    if sample_rate > RATE // 2:
        return resample(waveform_W, sample_rate, RATE)
    narrow_W = resample(waveform_W, sample_rate, RATE // 2)
    wide = resample(narrow_W, RATE // 2, RATE)
    mirrored = np.zeros_like(wide)
    mirrored[::2] = 2 * narrow_W  # zeros between the samples mirror the spectrum at 4 kHz
    return (1 - _MIRROR) * wide + _MIRROR * mirrored
