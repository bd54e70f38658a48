"""What the plan needs to know of every document of a source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from omni.datamodules.stream.pieces import TooLong

BLOCK = 1 << 18
"""Documents that are looked at together, so that a memory-mapped table is never copied whole."""


@dataclass(frozen=True, eq=False)
class Table:
    """Lengths and targets by document number; arrays or memory maps of any integer type."""

    lengths: Integer[np.ndarray, " documents"]
    """Positions; 0 for a document that is left out."""
    targets: Integer[np.ndarray, "documents M"]
    """Training targets by modality. Those of documents longer than a row are never looked at, so that 16 bits
    will do for rows of up to 65,535 positions."""
    fingerprint: str = ""
    """Of the index that the table was made from; without one the arrays are hashed, a second per gigabyte."""

    def digest(self) -> str:
        """What tells this table from others: 16 hexadecimal digits."""
        content = hashlib.blake2b(self.fingerprint.encode(), digest_size=8)
        if not self.fingerprint:
            for array in (self.lengths, self.targets):
                content.update(str(array.shape).encode())
                for start in range(0, len(array), BLOCK):
                    content.update(array[start : start + BLOCK].astype(np.int64).tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class Census:
    """How many documents a source has, and how many of them the plan leaves out or cuts."""

    documents: int
    unreadable: int
    """Documents with no positions: left out."""
    too_long: int
    """Documents that are longer than a row: dropped, truncated or split."""
    usable: int
    """Documents that are neither, and those too long that are not dropped."""
    positions: int
    """Positions of the usable documents; at most a row of each if they are truncated."""

    @classmethod
    def of(cls, table: Table, capacity: int, too_long: TooLong) -> Census:
        """Count the documents of ``table`` for rows of ``capacity`` positions under a policy."""
        unreadable = long = positions = 0
        for start in range(0, len(table.lengths), BLOCK):
            lengths = np.asarray(table.lengths[start : start + BLOCK])
            over = lengths > capacity
            long_here = int(np.count_nonzero(over))
            unreadable += len(lengths) - int(np.count_nonzero(lengths))
            positions += int(lengths.sum(dtype=np.int64))
            long += long_here
            if long_here and too_long != "split":
                kept = capacity * long_here if too_long == "truncate" else 0
                positions -= int(lengths[over].sum(dtype=np.int64)) - kept
        usable = len(table.lengths) - unreadable - (long if too_long == "drop" else 0)
        return cls(len(table.lengths), unreadable, long, usable, positions)
