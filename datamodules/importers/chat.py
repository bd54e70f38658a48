"""Conversations, demonstrations, preferences and prompts: JSONL as TRL and OpenAI write it, media files beside it.

What a line is follows from its fields (TRL's data set types, https://huggingface.co/docs/trl/dataset_formats)::

    {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "four"}]}
    {"prompt": "2 + 2?", "completion": "four"}
    {"prompt": [{"type": "image_url", "image_url": {"url": "7.png"}}], "chosen": "seven", "rejected": "one"}
    {"prompt": "Draw a seven.", "label": "seven"}

A ``prompt`` is a user's turn, or the messages before the answer; ``completion``, ``chosen`` and ``rejected`` are the
assistant's turn, or the messages from there on. Each may be a string, a list of content parts or a list of messages;
without a ``prompt``, ``chosen`` and ``rejected`` are whole conversations that begin alike. Of ``messages`` every
assistant's turn is learned, of the others what follows the prompt, of a prompt alone nothing.

A preference becomes two documents, ``KEY-chosen`` and ``KEY-rejected``, which training joins again. ``tools`` are
described to the assistant, ``images`` and ``audios`` are taken in turn by parts without a path, ``id`` becomes the
key, ``source`` splits metrics and ``label`` is what a judge should find in the answer. Other fields are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.chat_content import Shelf
from omni.datamodules.importers.chat_template import turns_of
from omni.datamodules.importers.jsonl import media_beside
from omni.datamodules.importers.rows import (
    EVERYTHING,
    Progress,
    Row,
    Span,
    documents_from,
    json_lines,
    key_from,
    text_of,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import short
from omni.modality import AUDIO, IMAGE
from omni.preference import CHOSEN, REJECTED
from omni.sequence import Document, Segment


def read_chat(
    source: Path, aside: Quarantine, progress: Progress, *, name: str, span: Span = EVERYTHING
) -> Iterator[Document]:
    """The documents of a JSONL file, in order.

    Args:
        source: the file.
        aside: takes the lines that can't be used; its limit is checked at the end.
        progress: is told the bytes of each line.
        name: source of the lines that name none.
        span: lines that are read.

    Raises:
        ValueError: no such file, or too many bad lines.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; expected a JSONL file, one conversation a line")
    lines = json_lines([source], progress, span)
    yield from documents_from(lines, partial(documents_of, name=name), aside, progress)


def documents_of(row: Row[dict[str, Any]], line: dict[str, Any], name: str) -> tuple[Document, ...]:
    """The document of a line, or the two of a preference.

    Raises:
        DocumentError: it can't be used; names the field.
    """
    key = key_from(str(line.get("id", f"{int(row.place):08d}")))
    label = line.get("label")
    if isinstance(label, bool):
        raise DocumentError(
            f"label: {short(label)} marks an answer as good or bad by itself, which no stage here learns from; "
            f"expected what a judge should find, or chosen and rejected answers"
        )
    source = text_of(line.get("source", name), "source")

    def document(segments: tuple[Segment, ...], suffix: str = "") -> Document:
        said = None if label is None else text_of(label, "label")
        return Document(segments, key=f"{key}{suffix}", source=source, label=said).merged()

    if "chosen" in line or "rejected" in line:
        chosen, rejected = _pair(line, row.file)
        return document(chosen, CHOSEN), document(rejected, REJECTED)
    shelf, tools = _shelf(line, row.file), line.get("tools")
    if "messages" in line:
        segments = turns_of(line["messages"], "messages", shelf, tools=tools)
        if not any(segment.loss for segment in segments):
            raise DocumentError("messages: no assistant's turn to learn; what has none is a `prompt`")
    elif "prompt" in line:
        segments = turns_of(
            _messages(line["prompt"], "user", "prompt"), "prompt", shelf, learn=False, tools=tools
        )
        if "completion" in line:
            segments += _answer(line, "completion", shelf)
    else:
        raise DocumentError(
            f"expected messages, prompt and completion, prompt, chosen and rejected, or prompt alone; got the "
            f"fields {sorted(line)}"
        )
    shelf.check_empty()
    return (document(segments),)


def _shelf(line: dict[str, Any], file: Path) -> Shelf:
    waiting = {}
    for modality in (IMAGE, AUDIO):
        listed = line.get(f"{modality.name}s", [])
        if not isinstance(listed, list):
            raise DocumentError(f"{modality.name}s: expected a list of paths, got {short(listed)}")
        waiting[modality] = list(listed)
    return Shelf(media_beside(file), waiting)


def _pair(line: dict[str, Any], file: Path) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Both conversations of a preference."""
    for field in ("chosen", "rejected"):
        if field not in line:
            raise DocumentError(f"{field}: missing; a preference has chosen and rejected")
    if line["chosen"] == line["rejected"]:
        raise DocumentError("chosen and rejected are the same, so there is nothing to prefer")
    if "prompt" not in line:
        line = _with_prompt(line)
    found = []
    for field in ("chosen", "rejected"):
        shelf = _shelf(line, file)
        prompt = turns_of(
            _messages(line["prompt"], "user", "prompt"),
            "prompt",
            shelf,
            learn=False,
            tools=line.get("tools"),
        )
        found.append(prompt + _answer(line, field, shelf))
        shelf.check_empty()
    return found[0], found[1]


def _with_prompt(line: dict[str, Any]) -> dict[str, Any]:
    """The line with the messages at which its two conversations begin alike as the prompt."""
    chosen, rejected = line["chosen"], line["rejected"]
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise DocumentError(
            "prompt: missing, and chosen and rejected are no conversations that begin with it"
        )
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if not shared:
        raise DocumentError("prompt: missing, and chosen and rejected don't begin with the same messages")
    return line | {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _messages(given: Any, role: str, field: str) -> list[Any]:
    """A string or content parts as one message of ``role``; messages as they are."""
    if isinstance(given, list) and given and all(isinstance(m, dict) and "role" in m for m in given):
        return given
    if not given or (isinstance(given, str) and not given.strip()):
        raise DocumentError(f"{field} is empty")
    return [{"role": role, "content": given}]


def _answer(line: dict[str, Any], field: str, shelf: Shelf) -> tuple[Segment, ...]:
    segments = turns_of(_messages(line[field], "assistant", field), field, shelf)
    if not any(segment.loss for segment in segments):
        raise DocumentError(f"{field}: no assistant's turn in it, so nothing to learn")
    return segments
