"""Conversations about pictures, as LLaVA's training data and much that follows it are written.

Schema: https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md: a JSON list (or a line
each) of objects with ``id``, ``image`` (a path; some data sets have a list of them; none for talk without
pictures) and ``conversations``, turns ``{"from": "human" or "gpt", "value": ...}`` in which ``<image>`` marks
the place of a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from omni.datamodules.importers.rows import (
    EVERYTHING,
    Progress,
    Row,
    Span,
    documents_from,
    json_lines,
    json_list,
    key_from,
    unicode_text,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.media import MediaError
from omni.sequence import Document, Image, Role, Segment, Text

PLACE = "<image>"
SPEAKERS: dict[str, Role] = {"system": "system", "human": "user", "gpt": "assistant"}


def read_llava(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    name: str,
    images: Path | None = None,
    span: Span = EVERYTHING,
) -> Iterator[Document]:
    """Conversations with roles; the assistant's turns are learned, its pictures too.

    Pictures stand where their marks do, without the line breaks beside a mark. Keys are the ids; data sets
    repeat an id for further talk about its picture, so the second is ``ID-2``. Rows without one are numbered.

    Args:
        source: a JSON or JSONL file.
        aside: takes conversations that can't be used.
        progress: is told the conversations (JSON) or the bytes of their lines (JSONL).
        name: source of the documents.
        images: folder that the paths of the pictures start from; by default that of ``source``.
        span: conversations that are read; of those before them the ids are, since an id may come again.

    Raises:
        ValueError: no such file, no JSON list, or too many conversations that can't be used.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; expected a JSON list of conversations, or JSONL")
    folder = images if images is not None else source.parent
    lines = source.suffix == ".jsonl"
    rows = iter(json_lines([source], progress) if lines else json_list(source, progress))
    seen: Counter[str] = Counter()

    def make(row: Row[dict[str, Any]], talk: dict[str, Any]) -> Document:
        key = _id(row, talk)
        seen[key] += 1
        if seen[key] > 1:
            key = f"{key}-{seen[key]}"
        return Document(tuple(_segments(talk, folder)), key=key, source=name)

    for row in islice(rows, span.start):
        if isinstance(row.content, dict):
            with suppress(DocumentError):
                seen[_id(row, row.content)] += 1
    rest = islice(rows, None if span.stop is None else span.stop - span.start)
    yield from documents_from(rest, make, aside, progress)


def _id(row: Row[dict[str, Any]], talk: dict[str, Any]) -> str:
    return key_from(str(talk.get("id", f"{int(row.place):08d}")))


def _segments(talk: dict[str, Any], folder: Path) -> list[Segment]:
    turns = talk.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise DocumentError(f"expected a list `conversations` of turns, got the fields {sorted(talk)}")
    pictures = _pictures(talk.get("image"), folder)
    marks = sum(str(turn.get("value")).count(PLACE) for turn in turns if isinstance(turn, dict))
    if marks != len(pictures):
        raise DocumentError(f"{marks} places {PLACE} in the turns for {len(pictures)} pictures")
    segments: list[Segment] = []
    for number, turn in enumerate(turns):
        segments += _turn(turn, f"conversations[{number}]", pictures)
    if not any(segment.loss for segment in segments):
        raise DocumentError("no turn of gpt, so nothing to learn")
    return segments


def _turn(turn: Any, where: str, pictures: list[Path]) -> Iterator[Segment]:
    speaker = turn.get("from") if isinstance(turn, dict) else None
    if speaker not in SPEAKERS:
        raise DocumentError(f"{where}.from: expected one of {list(SPEAKERS)}, got {speaker!r:.60}")
    role = SPEAKERS[speaker]
    loss = role == "assistant"
    pieces = unicode_text(turn.get("value"), f"{where}.value").split(PLACE)
    for number, piece in enumerate(pieces):
        if number:
            yield Image.open(pictures.pop(0), role=role, loss=loss)
        text = piece.removeprefix("\n") if number else piece
        text = text.removesuffix("\n") if number < len(pieces) - 1 else text
        if text.strip() or len(pieces) == 1:
            yield Text(text, role=role, loss=loss)


def _pictures(image: Any, folder: Path) -> list[Path]:
    names = image if isinstance(image, list) else [] if image is None else [image]
    paths = []
    for name in names:
        if not isinstance(name, str):
            raise DocumentError(f"image: expected a path, got {name!r:.60}")
        if not (folder / name).is_file():
            raise MediaError(f"image {name!r}: no such file in {folder}")
        paths.append(folder / name)
    return paths
