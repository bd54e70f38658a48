"""The index file ``X.tar.idx``: flat little-endian arrays behind a header, read through a memory map.

====================  =======================================================================================
header                ``HEADER``: sizes, hashes, and the fingerprint of the layout that measured the documents
parts                 ``PART`` for each member of a document, in the order of the tar
documents             ``DOCUMENT`` for each document, and one more that marks the ends
positions, targets    int32 ``(documents, M)`` by modality; only where the documents were measured
span starts, spans    uint32 ``(documents + 1,)`` and ``(spans,)``, see ``omni.spans``; only where they were measured
keys                  the keys, one behind another, UTF-8
tables                JSON: the member suffixes and the sources, in the order of their numbers
====================  =======================================================================================

Nothing is made per document on reading, so an index of millions of documents costs a header and a map.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt32

from omni.modality import MODALITIES

MAGIC = b"OMNI.IDX"
VERSION = 2
MAPS_KEPT = 256
"""Maps that stay open: each holds a file descriptor, of which a process often has 1,024."""

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("modalities", "<u4"),
        ("tar_size", "<u8"),
        ("documents", "<u8"),
        ("parts", "<u8"),
        ("spans", "<u8"),
        ("key_bytes", "<u8"),
        ("table_bytes", "<u8"),
        ("digest", "S72"),  # sha256:HEX of the tar
        ("headers", "S32"),  # hash of the tar's member headers
        ("content", "S32"),  # hash of parts, documents, keys and tables
        ("lengths", "S32"),  # hash of positions, targets and spans; empty where unmeasured
        ("layout", "S32"),  # fingerprint of the layout that measured; empty where unmeasured
        ("crc", "<u4"),  # of the header before it
    ]
)
SIZES = ("tar_size", "documents", "parts", "spans", "key_bytes", "table_bytes")
HASHES = ("digest", "headers", "content", "lengths", "layout")
PART = np.dtype([("offset", "<u8"), ("size", "<u8"), ("crc", "<u4"), ("suffix", "<u4"), ("document", "<u4")])
DOCUMENT = np.dtype([("first_part", "<u4"), ("source", "<u4"), ("key", "<u8")])
"""``key`` is the byte of ``keys`` where the key begins."""


class IndexFileError(ValueError):
    """A file that is no whole index."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of an index."""

    parts: np.ndarray
    """``PART``, shape (parts,)."""
    documents: np.ndarray
    """``DOCUMENT``, shape (documents + 1,)."""
    positions: Int32[np.ndarray, "documents M"]
    """Shape (0, M) where the documents were not measured."""
    targets: Int32[np.ndarray, "documents M"]
    span_starts: UInt32[np.ndarray, " starts"]
    """Place in ``spans`` where those of each document begin, and one more; empty where not measured."""
    spans: UInt32[np.ndarray, " spans"]
    keys: np.ndarray
    """uint8."""
    suffixes: tuple[str, ...]
    sources: tuple[str, ...]


class Head(NamedTuple):
    """The header of an index."""

    raw: bytes
    tar_size: int
    documents: int
    parts: int
    spans: int
    key_bytes: int
    table_bytes: int
    digest: str
    headers: str
    content: str
    lengths: str
    layout: str

    @property
    def measured(self) -> int:
        """Documents that have positions: all or none."""
        return self.documents if self.layout else 0

    @property
    def span_starts(self) -> int:
        """Entries of ``Arrays.span_starts``."""
        return self.documents + 1 if self.layout else 0

    @property
    def file_size(self) -> int:
        """Bytes of the whole index file."""
        lengths = 4 * (2 * len(MODALITIES) * self.measured + self.span_starts + self.spans)
        arrays = self.parts * PART.itemsize + (self.documents + 1) * DOCUMENT.itemsize
        return HEADER.itemsize + arrays + lengths + self.key_bytes + self.table_bytes


def index_bytes(arrays: Arrays, tar_size: int, digest: str, headers: str, layout: str = "") -> bytes:
    """Content of an index file.

    Args:
        arrays: what it holds.
        tar_size: bytes of the tar.
        digest: of the whole tar, as ``sha256:HEX``.
        headers: hash of the tar's member headers.
        layout: fingerprint of the layout that measured ``positions`` and ``targets``; empty if none did.
    """
    tables = json.dumps([arrays.suffixes, arrays.sources]).encode()
    lengths = _measured(arrays) if layout else []
    content = [arrays.parts.tobytes(), arrays.documents.tobytes(), arrays.keys.tobytes(), tables]
    header = np.zeros((), HEADER)
    header["magic"], header["version"], header["modalities"] = MAGIC, VERSION, len(MODALITIES)
    header["tar_size"], header["documents"] = tar_size, len(arrays.documents) - 1
    header["parts"], header["key_bytes"] = len(arrays.parts), len(arrays.keys)
    header["table_bytes"], header["headers"], header["layout"] = len(tables), headers, layout
    header["spans"] = len(arrays.spans) if layout else 0
    header["digest"] = digest
    header["content"], header["lengths"] = _digest(content), _digest(lengths) if layout else ""
    header["crc"] = _header_crc(header.tobytes())
    return b"".join([header.tobytes(), *content[:2], *lengths, *content[2:]])


def parse_head(raw: bytes) -> Head:
    """The header at the beginning of an index file.

    Raises:
        IndexFileError: it is none, or one of another version.
    """
    if len(raw) < HEADER.itemsize or not raw.startswith(MAGIC):
        raise IndexFileError(f"{len(raw)} bytes that don't begin as an index does")
    raw = raw[: HEADER.itemsize]
    fields = np.frombuffer(raw, HEADER)[0]
    if int(fields["crc"]) != _header_crc(raw):
        raise IndexFileError("the header's checksum is wrong")
    if (int(fields["version"]), int(fields["modalities"])) != (VERSION, len(MODALITIES)):
        raise IndexFileError(
            f"version {fields['version']} with {fields['modalities']} modalities, "
            f"expected {VERSION} with {len(MODALITIES)}"
        )
    sizes = {name: int(fields[name]) for name in SIZES}
    hashes = {name: fields[name].decode() for name in HASHES}
    return Head(raw=raw, **sizes, **hashes)  # type: ignore[arg-type]


@lru_cache(maxsize=MAPS_KEPT)
def map_index(path: Path, head: Head) -> Arrays:
    """The arrays of an index file as views of its map.

    Raises:
        IndexFileError: the file is not the one that ``head`` was read from.
    """
    raw = np.memmap(path, np.uint8, "r").view(np.ndarray)
    if len(raw) != head.file_size or raw[: HEADER.itemsize].tobytes() != head.raw:
        raise IndexFileError("the index was written anew while it was in use")
    at = HEADER.itemsize

    def take(count: int, dtype: np.dtype) -> np.ndarray:
        nonlocal at
        at += count * dtype.itemsize
        return raw[at - count * dtype.itemsize : at].view(dtype)

    parts, documents = take(head.parts, PART), take(head.documents + 1, DOCUMENT)
    values, columns = np.dtype("<i4"), len(MODALITIES)
    positions, targets = (take(head.measured * columns, values).reshape(-1, columns) for _ in range(2))
    starts, spans = take(head.span_starts, np.dtype("<u4")), take(head.spans, np.dtype("<u4"))
    keys, tables = take(head.key_bytes, np.dtype(np.uint8)), take(head.table_bytes, np.dtype(np.uint8))
    try:
        suffixes, sources = json.loads(tables.tobytes())
    except ValueError as error:
        raise IndexFileError(f"the tables are no JSON ({error})") from error
    names = tuple(suffixes), tuple(sources)
    return Arrays(parts, documents, positions, targets, starts, spans, keys, *names)


def read_lengths(
    path: Path, head: Head, start: int, stop: int
) -> tuple[Int32[np.ndarray, "documents M"], Int32[np.ndarray, "documents M"]]:
    """Positions and targets of some documents that were measured, read and not mapped.

    A table of all documents is made once, at the start of a run; pages of a map would stay in its memory after.

    Raises:
        IndexFileError: the file is not the one that ``head`` was read from.
    """
    width = 4 * len(MODALITIES)
    at = HEADER.itemsize + head.parts * PART.itemsize + (head.documents + 1) * DOCUMENT.itemsize
    found = []
    with path.open("rb") as file:
        if file.read(HEADER.itemsize) != head.raw:
            raise IndexFileError("the index was written anew while it was in use")
        for column in range(2):
            file.seek(at + (column * head.measured + start) * width)
            content = file.read((stop - start) * width)
            if len(content) != (stop - start) * width:
                raise IndexFileError(f"it ends before the lengths of document {stop}")
            found.append(np.frombuffer(content, "<i4").reshape(-1, len(MODALITIES)))
    return found[0], found[1]


def verify(arrays: Arrays, head: Head) -> None:
    """Compare all arrays with the hashes in the header; reads the whole index.

    Raises:
        IndexFileError: they differ.
    """
    tables = json.dumps([arrays.suffixes, arrays.sources]).encode()
    content = _digest([arrays.parts.tobytes(), arrays.documents.tobytes(), arrays.keys.tobytes(), tables])
    lengths = _digest(_measured(arrays)) if head.layout else ""
    for name, found, expected in (("content", content, head.content), ("lengths", lengths, head.lengths)):
        if found != expected:
            raise IndexFileError(f"the hash of its {name} is {found}, the header says {expected}")


def _measured(arrays: Arrays) -> list[bytes]:
    return [array.tobytes() for array in (arrays.positions, arrays.targets, arrays.span_starts, arrays.spans)]


def _digest(chunks: list[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _header_crc(raw: bytes) -> int:
    return zlib.crc32(raw[: HEADER.fields["crc"][1]])  # type: ignore[index]
