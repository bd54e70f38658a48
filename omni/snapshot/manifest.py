"""The list of what a checkpoint's folder holds: its files with their checksums, and where each tensor's pieces lie.

A folder without a manifest is no checkpoint, and every byte of one is covered by a checksum, the manifest's own
included. It is JSON: nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"
FORMAT, VERSION = "omni checkpoint", 1


class DamagedError(ValueError):
    """A checkpoint that is not as it was written, or not whole; the message names file and damage."""


@dataclass(frozen=True)
class FileSum:
    """A file as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Piece:
    """A box of a tensor, which lies in a file of its own rank."""

    file: str
    key: str
    """Name in that file (safetensors)."""
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class SavedTensor:
    """A tensor, however many ranks it was spread over."""

    dtype: str
    """As torch calls it, such as ``float32``."""
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Manifest:
    """What a folder holds."""

    run: str
    """The run that it is of: the same for all checkpoints of a run, resumed or not."""
    step: int
    world: int
    """Ranks that saved it."""
    written: float
    """When, in seconds since 1970."""
    files: Mapping[str, FileSum]
    tensors: Mapping[str, SavedTensor]


def sum_of(path: Path) -> FileSum:
    """Size and checksum of a file, which is flushed to the disk first."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileSum(file.tell(), digest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it, flushed to the disk."""
    body = asdict(manifest)
    whole = {"format": FORMAT, "version": VERSION, "sha256": _sum_of_body(body), "body": body}
    with (folder / MANIFEST_FILE).open("w") as file:
        json.dump(whole, file)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        DamagedError: there is none, or it is not as it was written.
    """
    path = folder / MANIFEST_FILE
    try:
        whole = json.loads(path.read_bytes())
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}, so no whole checkpoint") from error
    except ValueError as error:
        raise DamagedError(f"{path}: not JSON ({error})") from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT or whole.get("version") != VERSION:
        raise DamagedError(f"{path}: no manifest of a checkpoint, version {VERSION}")
    body = whole.get("body")
    if not isinstance(body, dict) or _sum_of_body(body) != whole.get("sha256"):
        raise DamagedError(f"{path}: its own checksum is wrong")
    files = {name: FileSum(**one) for name, one in body.pop("files").items()}
    tensors = {name: _tensor(one) for name, one in body.pop("tensors").items()}
    return Manifest(**body, files=files, tensors=tensors)


def damage(
    folder: Path, manifest: Manifest, needed: Callable[[str], bool], read: Callable[[str], bool]
) -> list[str]:
    """What is wrong with the ``needed`` files of a folder, one sentence each; ``read`` says whose content is read."""
    found = []
    for name, expected in manifest.files.items():
        if not needed(name):
            continue
        path = folder / name
        try:
            size = path.stat().st_size
            if size != expected.bytes:
                found.append(f"{path}: {size} bytes, {expected.bytes} were written")
            elif read(name) and sum_of(path).sha256 != expected.sha256:
                found.append(f"{path}: checksum differs from what was written")
        except OSError as error:
            found.append(f"{path}: {error.strerror}")
    return found


def missing_rows(shape: Seq[int], boxes: Seq[tuple[Seq[int], Seq[int]]]) -> list[int]:
    """Indices of the first dimension that boxes (offsets, sizes), none of which overlap, don't cover wholly.

    >>> missing_rows((4, 8), [((0, 0), (1, 8)), ((3, 0), (1, 8))])
    [1, 2]
    """
    if not shape:
        return [] if boxes else [0]
    whole = math.prod(shape[1:])
    change = [0] * (shape[0] + 1)
    for offsets, sizes in boxes:
        change[offsets[0]] += math.prod(sizes[1:])
        change[offsets[0] + sizes[0]] -= math.prod(sizes[1:])
    covered, missing = 0, []
    for row in range(shape[0]):
        covered += change[row]
        if covered != whole:
            missing.append(row)
    return missing


def _sum_of_body(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _tensor(saved: dict[str, Any]) -> SavedTensor:
    pieces = (
        Piece(one["file"], one["key"], tuple(one["offsets"]), tuple(one["sizes"])) for one in saved["pieces"]
    )
    return SavedTensor(saved["dtype"], tuple(saved["shape"]), tuple(pieces))
