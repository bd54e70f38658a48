"""A streaming decoder for any codec whose decoder depends on few frames around each frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from omni.tokenizers.audio.base import AudioCodec, StreamDecoder


class ContextStream(StreamDecoder):
    """Decodes new frames together with the frames around them, and returns the samples of the new ones.

    The samples are those of a whole decode where a frame of the decoder depends on ``context`` frames before it
    and ``lookahead`` frames after it, and nearly those where farther frames have a faint influence.
    """

    def __init__(self, codec: AudioCodec, context: int, lookahead: int = 0) -> None:
        """The stream is ``lookahead`` frames behind what was pushed."""
        self.codec, self.context, self.lookahead = codec, context, lookahead
        self.codes_FK: Int[np.ndarray, "F K"] = np.zeros((0, codec.codebooks), np.int64)
        """Played frames within the context, then those that wait."""
        self.played = 0
        """How many of them are played."""

    def push(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Samples of the frames that are followed by ``lookahead`` frames now."""
        self.codes_FK = np.concatenate([self.codes_FK, codes_FK])
        return self._play(max(self.played, len(self.codes_FK) - self.lookahead))

    def flush(self) -> Float[np.ndarray, " W"]:
        """Samples of the frames that waited."""
        return self._play(len(self.codes_FK))

    def _play(self, end: int) -> Float[np.ndarray, " W"]:
        if end == self.played:
            return np.zeros(0, np.float32)
        size = self.codec.samples_per_frame
        wave_W = self.codec.decode(self.codes_FK)[self.played * size : end * size]
        forgotten = max(0, end - self.context)
        self.codes_FK, self.played = self.codes_FK[forgotten:], end - forgotten
        return wave_W
