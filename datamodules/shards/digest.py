"""The digest of a whole tar, taken while it is indexed, so that nothing is read for it alone.

SHA-256: where the processor has instructions for it, as most have, it is quicker than BLAKE2 (1.8 against 1.2 GiB/s
here).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from omni.datamodules.shards.tar_files import TarFiles

_GAP = 8 << 20
"""Bytes read at a time of what stands between the pieces."""


class DigestingFiles(TarFiles):
    """Reads pieces of one tar from its beginning to its end, and hashes them with all that lies between."""

    def __init__(self, shard: Path) -> None:
        super().__init__(most=1)
        self.shard = shard
        self._hash = hashlib.sha256()
        self._at = 0

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """As ``TarFiles.read``; pieces must be asked for in the order of the tar."""
        assert path == self.shard and offset >= self._at, (
            f"{path} at {offset}, behind {self.shard} at {self._at}"
        )
        while self._at < offset and (gap := super().read(path, self._at, min(_GAP, offset - self._at))):
            self._take(gap)
        content = super().read(path, offset, size)
        self._take(content)
        return content

    def digest(self) -> str:
        """``sha256:HEX`` of the whole tar; reads the rest of it."""
        while rest := super().read(self.shard, self._at, _GAP):
            self._take(rest)
        return f"sha256:{self._hash.hexdigest()}"

    def _take(self, content: bytes) -> None:
        self._hash.update(content)
        self._at += len(content)
