"""Clips that were said a while ago, so that later messages can name them by their id."""

from __future__ import annotations

import time
from collections import OrderedDict

from omni.sequence import Audio
from omni.serve.errors import invalid

SECONDS = 3600
"""How long a clip is kept."""
MOST = 256
"""How many are kept; the oldest go first."""


class Clips:
    """Clips by id."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Audio]] = OrderedDict()

    def keep(self, id_: str, clip: Audio) -> int:
        """Keep a clip; returns the Unix time until which it is there, unless many others come."""
        self._kept[id_] = (time.monotonic() + SECONDS, clip)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return int(time.time()) + SECONDS

    def find(self, id_: str, param: str) -> Audio:
        """The clip of this id.

        Raises:
            ApiError: there is none, or it is gone.
        """
        until, clip = self._kept.get(id_, (0.0, None))
        if clip is None or time.monotonic() > until:
            raise invalid(
                f"no clip {id_!r}: clips are kept for an hour, and the last {MOST} of them",
                param,
                "audio_expired",
            )
        return clip
