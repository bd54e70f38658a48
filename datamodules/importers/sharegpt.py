"""Conversations as ShareGPT's and what followed it are written (LLaMA-Factory's and Axolotl's ``sharegpt``).

Schema: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md: a JSON list, or JSONL, of objects with
``conversations``, turns ``{"from": "human", "value": ...}``. ``from`` is human, gpt, system, function_call (the
assistant's) or observation (a tool's). ``system`` and ``tools`` stand beside, and so do ``images`` and ``audios``,
whose places ``<image>`` and ``<audio>`` mark. With ``chosen`` and ``rejected`` turns it is a preference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.chat import documents_of
from omni.datamodules.importers.rows import (
    EVERYTHING,
    Progress,
    Row,
    Span,
    documents_from,
    json_lines,
    json_list,
    unicode_text,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import short
from omni.sequence import Document

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}
PLACE = re.compile("<(image|audio)>\n?")


def read_sharegpt(
    source: Path, aside: Quarantine, progress: Progress, *, name: str, span: Span = EVERYTHING
) -> Iterator[Document]:
    """The conversations of a JSON list or JSONL file, in order; the assistant's turns are learned.

    Args:
        source: the file; paths of media are relative to its folder.
        aside: takes conversations that can't be used.
        progress: is told the conversations (JSON) or the bytes of their lines (JSONL).
        name: source of the documents.
        span: conversations that are read.

    Raises:
        ValueError: no such file, no JSON list, or too many conversations that can't be used.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; expected a JSON list of conversations, or JSONL")
    lines = source.suffix == ".jsonl"
    rows = json_lines([source], progress, span) if lines else span.of(json_list(source, progress))
    yield from documents_from(rows, partial(_documents, name=name), aside, progress)


def _documents(row: Row[dict[str, Any]], talk: dict[str, Any], name: str) -> tuple[Document, ...]:
    return documents_of(row, as_chat(talk), name)


def as_chat(talk: dict[str, Any]) -> dict[str, Any]:
    """The conversation as a line of ``omni.datamodules.importers.chat``.

    Raises:
        DocumentError: turns that can't be read.
    """
    turns = talk.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise DocumentError(f"expected a list `conversations` of turns, got the fields {sorted(talk)}")
    media = any(talk.get(name) for name in ("images", "audios"))
    messages = [_message(turn, f"conversations[{n}]", media) for n, turn in enumerate(turns)]
    if talk.get("system"):
        messages.insert(0, {"role": "system", "content": talk["system"]})
    line: dict[str, Any] = {name: talk[name] for name in ("id", "images", "audios", "label") if name in talk}
    if talk.get("tools"):
        line["tools"] = _tools(talk["tools"])
    if "chosen" in talk or "rejected" in talk:
        answers = {
            name: [_message(talk[name], name, media)] for name in ("chosen", "rejected") if name in talk
        }
        return line | {"prompt": messages} | answers
    return line | {"messages": messages}


def _tools(tools: Any) -> Any:
    """A list; LLaMA-Factory keeps it as JSON in a string."""
    try:
        return json.loads(tools) if isinstance(tools, str) else tools
    except ValueError as error:
        raise DocumentError(f"tools: not JSON ({error})") from error


def _message(turn: Any, where: str, media: bool) -> dict[str, Any]:
    speaker = turn.get("from") if isinstance(turn, dict) else None
    if speaker not in SPEAKERS:
        raise DocumentError(f"{where}.from: expected one of {list(SPEAKERS)}, got {short(speaker)}")
    value = unicode_text(turn.get("value"), f"{where}.value")
    if speaker == "function_call":
        value = f"<tool_call>\n{value}\n</tool_call>"
    content = _parts(value) if media else value
    return {"role": SPEAKERS[speaker], "content": content}


def _parts(value: str) -> list[dict[str, str]]:
    """A text with marks as content parts."""
    pieces = PLACE.split(value)  # text, kind, text, kind ... text
    parts = []
    for number, piece in enumerate(pieces):
        if number % 2:
            parts.append({"type": piece})
        elif piece:
            parts.append({"type": "text", "text": piece})
    return parts
