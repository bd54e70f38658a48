"""What both judges of speech do to a clip first: cut the silence at its ends, set its level."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LEVEL = 0.05
"""Root mean square of a prepared clip; peaks of speech lie some 15 dB higher."""

_FRAMES_PER_SECOND = 100
# Of the loudest frame. At -45 dB, noise 34 dB under the speech is taken for speech.
_SILENCE = 10 ** (-35 / 20)
_MARGIN = 2  # frames kept on either side
_SHORTEST = 5  # frames; nothing that short is a word


def tight_clip(waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> Float[np.ndarray, " tight"] | None:
    """The loud part of a clip, its root mean square at ``LEVEL``; ``None`` where there is nothing to hear.

    Nothing to hear is: less than 50 ms of sound, silence, or samples that are not finite.
    """
    frame = max(1, round(sample_rate / _FRAMES_PER_SECOND))
    count = len(waveform_W) // frame
    if count < _SHORTEST or not np.isfinite(waveform_W).all():
        return None
    loudness = waveform_W[: count * frame].reshape(count, frame).std(axis=1, dtype=np.float64)
    if loudness.max() < 1e-6:
        return None
    (loud,) = np.nonzero(loudness >= _SILENCE * loudness.max())
    clip_W = waveform_W[max(0, loud[0] - _MARGIN) * frame : (loud[-1] + 1 + _MARGIN) * frame]
    if len(clip_W) < _SHORTEST * frame:
        return None
    clip_W = clip_W - clip_W.mean(dtype=np.float64)
    return clip_W * (LEVEL / clip_W.std())
