"""Leaves out documents whose pictures and clips have all been seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from omni.sequence import Audio, Document, Image, Text

DIGEST_BYTES = 16


class Duplicates:
    """Finds exact duplicates by what pictures and clips decode to, whatever their files look like."""

    def __init__(self) -> None:
        self.count = 0
        """Documents that were left out."""
        self._seen: set[bytes] = set()

    def dropped(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents, without those that have media, all of which stood in earlier documents."""
        for document in documents:
            digests = {_digest(segment) for segment in document.segments if not isinstance(segment, Text)}
            if digests and digests <= self._seen:
                self.count += 1
                continue
            self._seen |= digests
            yield document


def _digest(media: Image | Audio) -> bytes:
    if isinstance(media, Audio):
        values, rate = media.waveform, media.sample_rate
    else:
        values, rate = media.pixels, 0
    head = f"{values.shape} {values.dtype} {rate}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(values).tobytes(), digest_size=DIGEST_BYTES).digest()
