"""Checks one document, member by member and segment by segment, so that every damaged part is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.format import (
    FILE_FIELDS,
    JSON_SUFFIX,
    Head,
    MissingMediaError,
    head_of,
    json_of,
    media_error,
    media_in,
    segment_from,
)
from omni.datamodules.shards.index import UNKNOWN
from omni.datamodules.shards.outline import names_of, outline_segment
from omni.datamodules.shards.tar_files import Piece, piece_damage


@dataclass
class DocumentCheck:
    """What a document holds, and what is wrong with it."""

    source: str = UNKNOWN
    modalities: Counter[str] = field(default_factory=Counter)
    damaged: list[Damage] = field(default_factory=list)


class _Checker:
    """Collects what is wrong, once for each part."""

    def __init__(self, shard: Path, key: str) -> None:
        self.shard, self.key, self.where = shard, key, f"{shard}[{key}]"
        self.found = DocumentCheck()
        self.hurt: set[str] = set()

    def add(self, error: DocumentError) -> None:
        if error.part is not None:
            if error.part in self.hurt:
                return
            self.hurt.add(error.part)
        self.found.damaged.append(Damage.of(str(self.shard), self.key, error))


def check_document(shard: Path, key: str, pieces: list[Piece], lost: set[str], decode: bool) -> DocumentCheck:
    """Check a document.

    Args:
        shard: for messages.
        key: of the document.
        pieces: its members as they were read.
        lost: suffixes of members whose header in the tar is damaged.
        decode: decode pictures, clips and codes, and compare their sizes with the JSON.
    """
    checker = _Checker(shard, key)
    for piece in pieces:
        part = piece.part
        damage = piece_damage(shard, key, piece)
        if part.suffix in lost and (damage is None or damage.kind == "header"):
            message = f"{checker.where}.{part.suffix}: damaged header in the tar before byte {part.offset}"
            damage = DocumentError(message, part=part.suffix, offset=part.offset, kind="header")
        if damage is not None:
            checker.add(damage)
    members = {piece.part.suffix: piece.content for piece in pieces}
    if JSON_SUFFIX in checker.hurt:
        return checker.found  # nobody knows what the others are for
    try:
        head = head_of(json_of(key, members, checker.where), f"{checker.where}.")
    except DocumentError as error:
        checker.add(error)
        return checker.found
    checker.found.source = head.source
    _check_segments(checker, head, members, decode)
    for name in sorted(set(members) - {JSON_SUFFIX} - names_of(head.segments)):
        message = f"{checker.where}.{name}: a file that {key}.{JSON_SUFFIX} doesn't name"
        checker.add(DocumentError(message, part=name, kind="dangling"))
    return checker.found


def _check_segments(checker: _Checker, head: Head, members: dict[str, bytes], decode: bool) -> None:
    media = media_in(members)
    for number, entry in enumerate(head.segments):
        where = f"{checker.where}.segments[{number}]"
        for name_field in FILE_FIELDS:
            name = entry.get(name_field) if isinstance(entry, dict) else None
            if isinstance(name, str) and name not in members:
                missing = MissingMediaError(
                    f"media file {name!r} is missing, the document has {sorted(members)}"
                )
                checker.add(media_error(f"{where}.{name_field}", name, missing))
        if names_of([entry]) & checker.hurt:
            continue
        codec = _codec_of(entry)
        try:
            segment = outline_segment(entry, where, media, codec)
            if decode:
                segment_from(entry, where, media, codec)
        except DocumentError as error:
            error.part = error.part or JSON_SUFFIX
            checker.add(error)
            continue
        checker.found.modalities[segment.modality.name] += 1


def _codec_of(entry: Any) -> str | None:
    """The codec that a clip names: with it, its codes are looked at."""
    codec = entry.get("codec") if isinstance(entry, dict) else None
    return codec if isinstance(codec, str) else None
