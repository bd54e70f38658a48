"""Sound at another rate, piece by piece: the same samples as of the whole clip."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from omni.media import resample

REACH = 10
"""Samples of the lower rate on either side that one sample depends on (scipy's ``resample_poly``)."""


class StreamResampler:
    """Gives samples as soon as all that they depend on is there."""

    def __init__(self, rate: int, wanted: int) -> None:
        common = math.gcd(rate, wanted)
        self.rate, self.wanted = rate, wanted
        self.up, self.down = wanted // common, rate // common
        self._kept = np.zeros(0, np.float32)
        self._given = 0  # samples of what ``_kept`` becomes that are given already
        reach = REACH if self.up >= self.down else math.ceil(REACH * self.down / self.up)
        self._reach = (reach // self.down + 1) * self.down  # whole periods, so that phases stay

    def push(self, waveform_W: Float[np.ndarray, " W"]) -> Float[np.ndarray, " V"]:
        """Take samples, and return what is final by now."""
        self._kept = np.concatenate([self._kept, waveform_W.astype(np.float32, copy=False)])
        return self._give(max(0, len(self._kept) - self._reach) // self.down * self.up)

    def flush(self) -> Float[np.ndarray, " V"]:
        """Return the rest."""
        rest = self._give(math.ceil(len(self._kept) * self.up / self.down))
        self._kept, self._given = np.zeros(0, np.float32), 0
        return rest

    def _give(self, end: int) -> Float[np.ndarray, " V"]:
        if end <= self._given:
            return np.zeros(0, np.float32)
        news = resample(self._kept, self.rate, self.wanted)[self._given : end]
        forgotten = max(0, (end * self.down // self.up - self._reach) // self.down)
        self._kept = self._kept[forgotten * self.down :]
        self._given = end - forgotten * self.up
        return news
