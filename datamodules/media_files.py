"""Sound and text in files of a folder or in WebDataset shards: what tokenizers are trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from omni.datamodules.shards.format import JSON_SUFFIX
from omni.datamodules.shards.index import scan_shard
from omni.media import read_audio, resample

SOUND_SUFFIXES = ("wav", "flac", "ogg", "mp3")
TEXT_SUFFIXES = ("txt", "md", "rst", "py", "jsonl")
SHARD_SUFFIX = "tar"
LONGEST_TEXT = 10_000
"""Characters of the pieces that a longer text is cut into, at a line end where there is one."""


@dataclass(frozen=True)
class MediaFile:
    """A file, or a member of a shard."""

    path: Path
    member: str | None = None
    place: tuple[int, int] = (0, 0)
    """Offset and size of the member in the tar."""

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}[{self.member}]"

    @property
    def suffix(self) -> str:
        """What follows the last dot of the name, in small letters."""
        return (self.member or self.path.name).rpartition(".")[2].lower()

    def read(self) -> bytes:
        """The content."""
        if self.member is None:
            return self.path.read_bytes()
        offset, size = self.place
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


@dataclass
class Unreadable:
    """What could not be read, a message for each file."""

    messages: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.messages)} unreadable; first: {self.messages[0]}" if self.messages else "0 unreadable"
        )


def media_files(
    path: Path, suffixes: tuple[str, ...], in_shards: tuple[str, ...], unreadable: Unreadable
) -> list[MediaFile]:
    """Files with these suffixes: ``path`` itself, or all below it in the order of their names, also in shards.

    ``in_shards`` are the suffixes of members of shards.

    Raises:
        ValueError: no such path, or no such file there.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found: list[MediaFile] = []
    for one in paths:
        suffix = one.suffix[1:].lower()
        if suffix == SHARD_SUFFIX:
            found += [file for file in _members(one, unreadable) if file.suffix in in_shards]
        elif suffix in suffixes:
            found.append(MediaFile(one))
    if not found:
        raise ValueError(
            f"{path}: no files *.{', *.'.join(suffixes)}, nor shards with *.{', *.'.join(in_shards)}; {unreadable}"
        )
    return found


def _members(shard: Path, unreadable: Unreadable) -> Iterator[MediaFile]:
    try:
        entries = scan_shard(shard).entries
    except ValueError as error:
        unreadable.messages.append(str(error))
        return
    for entry in entries:
        for suffix, place in entry.members.items():
            yield MediaFile(shard, f"{entry.key}.{suffix}", place)


Progress = Callable[[list[MediaFile]], Iterable[MediaFile]]
"""Passes the files on, and shows how far they are read."""


def read_sounds(
    path: Path, sample_rate: int, seed: int, most_seconds: float, unreadable: Unreadable, progress: Progress
) -> list[Float[np.ndarray, " _"]]:
    """Waveforms at ``sample_rate``, in an order drawn by ``seed``, until ``most_seconds`` are reached.

    Raises:
        ValueError: no sound files there, or none that can be read.
    """
    files = media_files(path, SOUND_SUFFIXES, SOUND_SUFFIXES, unreadable)
    order = np.random.default_rng(seed).permutation(len(files))
    waveforms: list[Float[np.ndarray, " _"]] = []
    seconds = 0.0
    for file in progress([files[i] for i in order]):
        if seconds >= most_seconds:
            break
        try:
            waveform_W, rate = read_audio(file.read())
        except (ValueError, OSError) as error:
            unreadable.messages.append(f"{file}: {error}")
            continue
        seconds += len(waveform_W) / rate
        waveforms.append(resample(waveform_W, rate, sample_rate))
    if not waveforms:
        raise ValueError(f"{path}: none of {len(files)} sound files can be used; {unreadable}")
    return waveforms


def read_texts(path: Path, unreadable: Unreadable, progress: Progress) -> Iterator[str]:
    """Texts of text files, of JSONL lines and of the documents in shards; long ones come in pieces.

    Raises:
        ValueError: no text files there.
    """
    for file in progress(media_files(path, TEXT_SUFFIXES, (*TEXT_SUFFIXES, JSON_SUFFIX), unreadable)):
        try:
            content = file.read().decode()
            texts = list(_texts(content, file.suffix))
        except (ValueError, OSError) as error:
            unreadable.messages.append(f"{file}: {error}")
            continue
        for text in texts:
            yield from pieces(text)


def _texts(content: str, suffix: str) -> Iterator[str]:
    if suffix == JSON_SUFFIX:
        yield from document_texts(json.loads(content))
    elif suffix == "jsonl":
        for line in content.split("\n"):  # not splitlines(): a JSON string may hold other line ends
            if line.strip():
                yield from document_texts(json.loads(line))
    else:
        yield content


def document_texts(document: Any) -> Iterator[str]:
    """Texts of a document's JSON: of its segments, or of its field ``text``.

    Raises:
        ValueError: it has neither.
    """
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        yield document["text"]
    elif isinstance(document, dict) and isinstance(document.get("segments"), list):
        for segment in document["segments"]:
            if isinstance(segment, dict) and isinstance(segment.get("text"), str):
                yield segment["text"]
    else:
        raise ValueError(f"expected an object with `segments` or `text`, got {json.dumps(document)[:60]}")


def pieces(text: str, longest: int = LONGEST_TEXT) -> Iterator[str]:
    """The text in pieces of at most ``longest`` characters, cut behind a line end where one is in reach."""
    start = 0
    while start < len(text):
        end = start + longest
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start:end]
        start = end
