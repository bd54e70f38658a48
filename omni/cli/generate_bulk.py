"""``omni generate --data``: answers to many documents, one line each, in a run that can be killed and goes on.

A line is written when its answer is whole, its media files before it. A run that starts again with the same
settings skips the documents that have a line, and takes a line back that was cut. Document number n draws its noise
from ``seed + n``, so what comes out does not depend on where a run was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni.inference.options import SamplingOptions

if TYPE_CHECKING:
    from omni.inference.engine import Engine, Handle
    from omni.inference.request import Finished, Request
    from omni.modality import Modality
    from omni.sequence import Document, Segment

SETTINGS = ".settings.json"
"""Behind the name of the answers' file: what they are made with."""
AHEAD = 2
"""Requests that wait, for each that the engine has a slot for."""


def run_bulk(args: argparse.Namespace, want: Modality | None, options: SamplingOptions) -> None:
    """Answer the documents of ``--data`` into the lines of ``--out``.

    Raises:
        ValueError: no such data, answers that were made with other settings, or bad lines of a JSONL file (told
            when all others are answered).
    """
    from rich.progress import Progress

    from omni.inference.batcher import EngineConfig
    from omni.inference.engine import Engine
    from omni.inference.omni import Omni
    from omni.inference.request import Request

    if args.out is None or args.out.suffix != ".jsonl":
        raise ValueError(f"--data needs --out FILE.jsonl for the answers, got {args.out}")
    made_with = {name: getattr(args, name) for name in ("checkpoint", "weights", "data", "want", "chat")}
    omni = Omni.from_checkpoint(args.checkpoint, args.device, args.weights)
    documents = _documents(args.data, omni.tokenizers.audio.fingerprint)
    done = resumed(args.out, made_with | asdict(options))
    asked = (
        (number, key, found)
        if isinstance(found, ValueError)
        else (number, key, Request(
            prompt=prompt_of(found), want=want.name if want else None, chat=args.chat,
            options=replace(options, seed=options.seed + number),
        ))
        for number, key, found in documents
        if number not in done
    )  # fmt: skip
    engine = Engine(omni.model, omni.tokenizers, EngineConfig(slots=args.slots))
    failed = written = 0
    with Progress() as progress, args.out.open("a") as lines:
        bar = progress.add_task("Answering", total=None)
        for number, key, outcome in _answers(engine, asked, AHEAD * args.slots):
            lines.write(json.dumps(_line(args.out, number, key, outcome)) + "\n")
            lines.flush()
            failed, written = failed + isinstance(outcome, ValueError), written + 1
            progress.update(bar, completed=written)
    print(f"{args.out}: {len(done)} lines were there, {written} are new, {failed} of them without an answer")


def _documents(data: str, codec: str) -> Iterator[tuple[int, str, Document | ValueError]]:
    """Number and key of each document, and what is in it or wrong with it.

    Raises:
        ValueError: no shards or no such file; behind the last document, the bad lines of a JSONL file.
    """
    from omni.datamodules.importers.jsonl import read_jsonl
    from omni.datamodules.quarantine import Quarantine
    from omni.datamodules.shards.reader import ShardReader

    if data.endswith(".jsonl"):
        aside = Quarantine(Path(data).parent, 0.0, file=f"{Path(data).name}.bad", warn=False)
        for number, document in enumerate(read_jsonl(Path(data), aside, _Silent(), name="prompts")):
            yield number, document.key, document
        return
    reader = ShardReader(data, codec)
    for number in range(len(reader)):
        try:
            document = reader[number]
        except ValueError as error:
            yield number, reader.place(number)[1], error
        else:
            yield number, document.key, document


class _Silent:
    """Nobody is told how much of a file is read."""

    def expect(self, steps: int) -> None:
        pass

    def advance(self, steps: int) -> None:
        pass


def prompt_of(document: Document) -> tuple[Segment, ...]:
    """What is asked: all that stands before the assistant's last turn; the whole document if it has no last word."""
    segments: Sequence[Segment] = document.segments
    count = len(segments)
    while count and segments[count - 1].role == "assistant":
        count -= 1
    return tuple(segments[:count])


def _answers(
    engine: Engine, asked: Iterator[tuple[int, str, Request | ValueError]], ahead: int
) -> Iterator[tuple[int, str, Finished | ValueError]]:
    """Answers as they are done; at most ``ahead`` requests are with the engine at once."""
    waiting: dict[Handle, tuple[int, str]] = {}
    more = True
    while more or waiting:
        while more and len(waiting) < ahead:
            entry = next(asked, None)
            more = entry is not None
            if entry is None:
                break
            number, key, request = entry
            try:
                if isinstance(request, ValueError):
                    raise request
                waiting[engine.submit(request)] = number, key
            except ValueError as error:
                yield number, key, error
        engine.step()
        for handle in [handle for handle in waiting if handle.finished is not None]:
            yield *waiting.pop(handle), handle.result()


def resumed(out: Path, made_with: dict[str, Any]) -> set[int]:
    """Numbers of the documents that have a line in ``out``; a last line that was cut is taken back.

    Raises:
        ValueError: the answers there were made with other settings, or the file is none of answers.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    settings, wanted = out.with_name(out.name + SETTINGS), json.loads(json.dumps(made_with))
    if out.is_file() and settings.is_file():
        found = json.loads(settings.read_text())
        if other := sorted(name for name in wanted if found.get(name) != wanted[name]):
            raise ValueError(
                f"{out}: its answers were made with other settings ({', '.join(other)}); see {settings}, and give "
                f"another --out or delete both files"
            )
    elif out.is_file():
        raise ValueError(f"{out} is there, but not {settings.name}: give another --out, or delete it")
    settings.write_text(json.dumps(wanted, indent=1) + "\n")
    if not out.is_file():
        return set()
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with out.open("r+b") as file:
            file.truncate(len(whole))
    return {int(json.loads(line)["number"]) for line in whole.splitlines()}


def _line(out: Path, number: int, key: str, outcome: Finished | ValueError) -> dict[str, Any]:
    """The entry of one document; pictures and clips go to files in a folder named after ``out``."""
    from omni.cli.media_file import write_media
    from omni.sequence import Text

    if isinstance(outcome, ValueError):
        return {"number": number, "id": key, "error": str(outcome)}
    answer: list[dict[str, str]] = []
    for place, segment in enumerate(outcome.segments):
        if isinstance(segment, Text):
            answer.append({"type": segment.modality.name, "text": segment.text})
            continue
        file = out.with_suffix("") / f"{number:08d}-{place}.{segment.modality.answer_suffix}"
        write_media(file, segment)
        answer.append({"type": segment.modality.name, "file": file.relative_to(out.parent).as_posix()})
    line: dict[str, Any] = {"number": number, "id": key, "reason": outcome.reason, "answer": answer}
    return line | ({"logprobs": [asdict(one) for one in outcome.logprobs]} if outcome.logprobs else {})
