"""From a source to shards and back: what tests of importers look at."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image as PILImage

from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.rows import SET_ASIDE_FILE
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.media import write_wav
from omni.sequence import Document, Image, Text
from tests.tiny import SAMPLE_RATE, picture, tone

TO_TEXT = Pairing(source="data", direction="image-to-text")
SPEECH_TO_TEXT = Pairing(source="data", direction="audio-to-text")


@dataclass
class Told:
    """A progress that remembers what it was told."""

    steps: int | None = None
    done: list[int] = field(default_factory=list)

    def expect(self, steps: int) -> None:
        assert self.steps is None, "told twice"
        self.steps = steps

    def advance(self, steps: int) -> None:
        self.done.append(steps)


@dataclass
class Imported:
    """What an import left behind."""

    documents: list[Document]
    aside: list[tuple[str, str]]
    """Place and message of what was set aside."""
    told: Told

    @property
    def keys(self) -> list[str]:
        return [document.key for document in self.documents]


def import_from(
    read: Callable[..., Iterator[Document]], source: Path, most: float = 0.0, **options: Any
) -> Imported:
    """Import into shards beside ``source`` and read them back."""
    out = source.parent / f"{source.name}-shards"
    aside = Quarantine(out, most, "--max-damaged", SET_ASIDE_FILE, warn=False)
    told = Told()
    write_shards(read(source, aside, told, **options), out)
    reader = ShardReader(out)
    listed = out / SET_ASIDE_FILE
    lines = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    return Imported(
        [reader[number] for number in range(len(reader))],
        [(line["key"], line["error"]) for line in lines],
        told,
    )


def shown(document: Document) -> list[str]:
    """The segments in short: ``user image 5x6``, ``* assistant 'a cat'``; ``*`` is what is learned."""
    lines = []
    for segment in document.segments:
        if isinstance(segment, Text):
            content = repr(segment.text)
        elif isinstance(segment, Image):
            height, width = segment.pixels.shape[:2]
            content = f"image {width}x{height}"
        else:
            content = f"audio {segment.seconds:g}s"
        lines.append(
            " ".join([*("*" if segment.loss else ""), *([segment.role] if segment.role else []), content])
        )
    return lines


def jpeg(digit: int, height: int = 6, width: int = 5) -> bytes:
    """A picture file; another for each digit."""
    buffer = io.BytesIO()
    PILImage.fromarray(picture(digit, height, width)).save(buffer, format="JPEG")
    return buffer.getvalue()


def save(path: Path, content: bytes) -> Path:
    """Write a file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def save_clip(path: Path, digit: int) -> Path:
    """A tenth of a second of sound; another for each digit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone(digit, 0.1), SAMPLE_RATE)
    return path


def save_lines(path: Path, *lines: Any) -> Path:
    """A JSONL file; strings are written as they are."""
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return save(path, "".join(f"{line}\n" for line in written).encode())
