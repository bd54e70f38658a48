"""Writes documents as WebDataset shards with their indexes; a shard appears only when all are whole.

Shards are written in ``FOLDER/.writing``, forced to the disk and indexed there, and then moved; ``dataset.json``
comes last, so that a folder which has it is complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import webdataset

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import to_members
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.publish import WRITING, WRITTEN, publish
from omni.datamodules.shards.scan import split_name
from omni.sequence import Document

IDENTITY_FILE = "identity.txt"
PER_SHARD = 2_000
UNLIMITED = 1 << 62


class Members(NamedTuple):
    """A document as it stands in another shard: its members are written as they are."""

    key: str
    members: Mapping[str, bytes]
    """Member suffix to content."""


Storable = Document | Members


def write_shards(
    documents: Iterable[Storable], folder: Path, per_shard: int = PER_SHARD, codec: str | None = None
) -> dict[str, int]:
    """Write ``folder/shard-000000.tar`` ..., each with its index, and ``dataset.json``.

    Shards of an earlier writing are replaced once the new ones are whole. The same documents give the same
    bytes. Returns the number of documents by source.

    Args:
        documents: what is written, in this order.
        folder: made where it isn't there.
        per_shard: documents of a shard.
        codec: fingerprint of the codec that made the clips' codes; without it codes are not kept.

    Raises:
        ValueError: no documents, or a key that comes twice or can't be a file's name in the tar.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1 document, got {per_shard}")
    writing = begin_writing(folder, identity="")
    try:
        shutil.rmtree(writing)  # of a writing that was cut off
        writing.mkdir()
        if not write_tars(documents, writing, per_shard, codec):
            raise ValueError(f"{folder}: no documents to write")
        tars = sorted(writing.glob("*.tar"))
        for tar in tars:
            write_index(tar)
        return publish(tars, folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise


def begin_writing(folder: Path, identity: str) -> Path:
    """The folder in which the shards of ``folder`` are written, as an earlier start may have left it.

    Raises:
        ValueError: another writing was begun there.
    """
    writing = folder / WRITING
    writing.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / WRITTEN, ignore_errors=True)  # of a writing that was killed at its very end
    path = writing / IDENTITY_FILE
    found = path.read_text() if path.exists() else identity
    if found != identity:
        raise ValueError(
            f"{writing}: the writing of {found!r} was begun here, this one is {identity!r}; finish that one, or "
            f"delete the folder"
        )
    if identity:
        path.write_text(identity)
    return writing


def write_tars(
    documents: Iterable[Storable], folder: Path, per_shard: int | None, codec: str | None, first: int = 0
) -> int:
    """Write ``folder/000000.tar`` ..., or all into ``first`` where ``per_shard`` is ``None``.

    Returns the number of documents.

    Raises:
        ValueError: a key that comes twice or can't be a file's name in the tar, or media that can't be stored.
    """
    count = 0
    # absolute and without %: the writer takes it as a URL and as a format string
    pattern = str(folder.resolve()).replace("%", "%%") + "/%06d.tar"
    limits = {"maxcount": per_shard} if per_shard else {"maxcount": UNLIMITED, "maxsize": UNLIMITED}
    tar = {"mtime": 0, "format": "PAX_FORMAT", "post": _force_to_disk, "encoder": False}
    with webdataset.ShardWriter(pattern, start_shard=first, verbose=0, **limits, **tar) as sink:
        for document in _with_good_keys(documents):
            members = document.members if isinstance(document, Members) else to_members(document, codec)
            check_suffixes(document.key, members)
            sink.write({"__key__": document.key, **members})
            count += 1
    return count


def _force_to_disk(tar: str) -> None:
    with Path(tar).open("rb") as file:
        os.fsync(file.fileno())


def _with_good_keys(documents: Iterable[Storable]) -> Iterator[Storable]:
    keys: set[str] = set()
    for document in documents:
        check_key(document.key)
        if document.key in keys:
            raise DocumentError(f"document key {document.key!r} comes twice; keys must be unique")
        keys.add(document.key)
        yield document


def check_suffixes(key: str, members: Mapping[str, bytes]) -> None:
    """Raise ``DocumentError`` for a member that WebDataset's writer would leave out."""
    for suffix in members:
        if suffix.startswith("_"):
            raise DocumentError(
                f"document key {key!r}: its member {suffix!r} can't be copied, as WebDataset keeps names that "
                f"begin with _ to itself; rename it in the source",
                part=suffix,
            )


def check_key(key: str) -> None:
    """Raise ``DocumentError`` for a key that WebDataset would not read back as it is."""
    if split_name(f"{key}.json") != (key, "json") or not key.isprintable() or key.startswith("/"):
        raise DocumentError(
            f"document key {key!r}: expected a file name without dots (WebDataset cuts names there), "
            f"at least one character long"
        )
