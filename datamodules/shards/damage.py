"""What is said of a damaged document: an error while it is read, an entry in a list of damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["index", "tar", "header", "key", "crc", "schema", "missing", "dangling", "decode"]
"""``index``: none, stale or damaged; ``tar``: the shard as a whole; ``header``: of a member in the tar;
``key``: it comes twice; ``crc``: other bytes than were indexed; ``schema``: a wrong field in the JSON;
``missing``: named in the JSON but not there; ``dangling``: there but not named; ``decode``: can't be decoded."""


class DocumentError(ValueError):
    """A document that can't be used; the message names shard, key and field."""

    def __init__(
        self, message: str, *, part: str | None = None, offset: int | None = None, kind: Kind = "schema"
    ) -> None:
        """``part`` is the suffix of the damaged member, ``offset`` the byte of the tar where it begins."""
        super().__init__(message)
        self.part, self.offset, self.kind = part, offset, kind


@dataclass(frozen=True)
class Damage:
    """One damaged part, a damaged document, or a damaged shard."""

    shard: str
    key: str | None
    """``None`` where the shard as a whole is meant."""
    part: str | None
    """Suffix of the member; ``None`` where the document or the shard as a whole is meant."""
    kind: Kind
    error: str
    """What is wrong; names shard, key and field."""

    @classmethod
    def of(cls, shard: str, key: str | None, error: DocumentError) -> Damage:
        """The damage that an error tells of."""
        return cls(shard, key, error.part, error.kind, str(error))
