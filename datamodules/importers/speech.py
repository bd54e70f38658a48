"""Recorded speech with its words: LibriSpeech, Common Voice, LJ Speech, and digits named by their files.

Schemas:

* LibriSpeech, https://www.openslr.org/12 (README, 2.1): ``SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt``, a line
  for each ``SPEAKER-CHAPTER-UTTERANCE.flac`` beside it: its name, a space, its words in capitals.
* Common Voice, https://huggingface.co/datasets/mozilla-foundation/common_voice_11_0: ``train.tsv`` and others
  with the columns ``path`` and ``sentence``; the files lie in ``clips/``.
* LJ Speech, https://keithito.com/LJ-Speech-Dataset: ``metadata.csv`` without a head, its fields between bars:
  id, transcription, transcription with numbers and abbreviations in words; ``wavs/ID.wav``.
* digits, https://github.com/Jakobovski/free-spoken-digit-dataset: ``{digit}_{speaker}_{n}.wav``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omni.datamodules.demo.recorded import PATTERN
from omni.datamodules.demo.speech import DIGIT_WORDS
from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.rows import (
    EVERYTHING,
    Progress,
    Row,
    Span,
    documents_from,
    files_in,
    key_from,
    text_of,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Audio, Document

_DIGIT = re.compile(r"([0-9])_.+_[0-9]+", re.ASCII)


@dataclass(frozen=True)
class Spoken:
    """A clip's file and its words."""

    path: Path
    words: str
    label: str | None = None


def read_librispeech(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    pairing: Pairing,
    lowercase: bool = False,
    span: Span = EVERYTHING,
) -> Iterator[Document]:
    """Utterances of LibriSpeech; keys are their ids, ``SPEAKER-CHAPTER-UTTERANCE``.

    Args:
        source: a folder with ``*.trans.txt`` at any depth.
        aside: takes utterances without words or clip, and damaged clips.
        progress: is told the utterances.
        pairing: how clip and words become a document.
        lowercase: write the words in small letters; the data set has capitals only.
        span: utterances that are read.

    Raises:
        ValueError: no transcripts there, or too many utterances that can't be used.
    """
    transcripts = sorted(source.rglob("*.trans.txt"))
    if not transcripts:
        raise ValueError(f"{source}: no *.trans.txt in this folder; expected SPEAKER/CHAPTER/ of LibriSpeech")
    yield from _documents(_librispeech(transcripts, lowercase), pairing, aside, progress, span)


def _librispeech(transcripts: list[Path], lowercase: bool) -> Iterator[Row[Spoken]]:
    for transcript in transcripts:
        clips = set(transcript.parent.glob("*.flac"))
        for number, line in _lines(transcript):
            name, _, words = line.strip().partition(" ")
            path = transcript.parent / f"{name}.flac"
            clips.discard(path)
            yield Row(transcript, number, Spoken(path, words.lower() if lowercase else words))
        for path in sorted(clips):
            yield Row(transcript, path.name, DocumentError("no line for this clip"))


def read_common_voice(
    source: Path, aside: Quarantine, progress: Progress, *, pairing: Pairing, span: Span = EVERYTHING
) -> Iterator[Document]:
    """Clips of Common Voice; keys are their file names without suffix.

    Args:
        source: a table such as ``train.tsv``, beside the folder ``clips``.
        aside: takes rows without sentence or clip, and damaged clips.
        progress: is told the rows.
        pairing: how clip and sentence become a document.
        span: rows that are read.

    Raises:
        ValueError: no such file, other columns, or too many rows that can't be used.
    """
    if not source.is_file():
        raise ValueError(
            f"{source}: no such file; expected a table such as train.tsv beside the folder clips"
        )
    yield from _documents(_common_voice(source), pairing, aside, progress, span)


def _common_voice(source: Path) -> Iterator[Row[Spoken]]:
    with source.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)  # sentences hold single quotes
        missing = {"path", "sentence"} - set(table.fieldnames or ())
        if missing:
            raise ValueError(
                f"{source}: no column {', '.join(sorted(missing))}; there are {table.fieldnames or 'none'}"
            )
        for row in table:
            clip = source.parent / "clips" / (row["path"] or "")
            yield Row(source, str(table.line_num), Spoken(clip, row["sentence"] or ""))


def read_ljspeech(
    source: Path, aside: Quarantine, progress: Progress, *, pairing: Pairing, span: Span = EVERYTHING
) -> Iterator[Document]:
    """Clips of LJ Speech with their words written out; keys are the ids.

    Args:
        source: the folder with ``metadata.csv`` and ``wavs``.
        aside: takes lines without words or clip, and damaged clips.
        progress: is told the lines.
        pairing: how clip and words become a document.
        span: lines that are read.

    Raises:
        ValueError: no ``metadata.csv`` there, or too many lines that can't be used.
    """
    if not (source / "metadata.csv").is_file():
        raise ValueError(f"{source}: no metadata.csv in this folder; expected it beside the folder wavs")
    yield from _documents(_ljspeech(source), pairing, aside, progress, span)


def _ljspeech(source: Path) -> Iterator[Row[Spoken]]:
    file = source / "metadata.csv"
    for number, line in _lines(file):
        fields = line.split("|")
        if len(fields) not in (2, 3):
            error = DocumentError(
                f"expected id|words or id|words|words written out, got {len(fields)} fields"
            )
            yield Row(file, number, error)
            continue
        yield Row(file, number, Spoken(source / "wavs" / f"{fields[0]}.wav", fields[-1]))


def read_digits(
    source: Path, aside: Quarantine, progress: Progress, *, pairing: Pairing
) -> Iterator[Document]:
    """Spoken digits with their words, which are the label too; keys are the file names without suffix.

    Args:
        source: a folder with ``*.wav`` at any depth.
        aside: takes files of other names, and damaged ones.
        progress: is told the files.
        pairing: how clip and word become a document.

    Raises:
        ValueError: no such files there, or too many that can't be used.
    """
    yield from _documents(map(_digit, files_in(source, ".wav")), pairing, aside, progress)


def _digit(path: Path) -> Row[Spoken]:
    match = _DIGIT.fullmatch(path.stem)
    if match is None:
        error = DocumentError(f"the name isn't {PATTERN} with a digit from 0 to 9")
        return Row(path.parent, path.name, error)
    word = DIGIT_WORDS[int(match[1])]
    return Row(path.parent, path.name, Spoken(path, word, label=word))


def _documents(
    rows: Iterable[Row[Spoken]],
    pairing: Pairing,
    aside: Quarantine,
    progress: Progress,
    span: Span = EVERYTHING,
) -> Iterator[Document]:
    listed = list(rows)  # paths and words only
    progress.expect(len(listed))

    def make(row: Row[Spoken], spoken: Spoken) -> Document:
        words = text_of(spoken.words, "text")
        if not spoken.path.is_file():
            raise DocumentError(f"clip {spoken.path.name!r}: no such file in {spoken.path.parent}")
        audio = Audio.open(spoken.path)
        return pairing.document(key_from(spoken.path.stem), audio, words, spoken.label)

    yield from documents_from(span.of(listed), make, aside, progress)


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Lines that aren't blank with their numbers.

    Raises:
        ValueError: no UTF-8.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 ({error})") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield str(number), line.rstrip("\r")
