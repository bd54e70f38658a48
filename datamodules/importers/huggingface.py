"""Data sets of Hugging Face's ``datasets`` on disk, as ``save_to_disk`` writes them; columns are named by the user.

Schema: https://huggingface.co/docs/datasets/process#save. Pictures and clips are columns of the kinds ``Image``
and ``Audio``, a row's value being an object of ``bytes`` and ``path``; they are decoded here as everywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.rows import EVERYTHING, Progress, Row, Span, documents_from, key_from, text_of
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Audio, Document, Image, Text


@dataclass(frozen=True)
class _Columns:
    text: str | None
    image: str | None
    audio: str | None
    key: str | None

    def named(self) -> list[str]:
        """The columns that are used, each once."""
        return list(dict.fromkeys(name for name in vars(self).values() if name is not None))

    def check(self, known: list[str], where: Path) -> None:
        for option, name in vars(self).items():
            if name is not None and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{where}: --{option} {name!r}: expected one of the columns {known}{hint}")
        if self.image and self.audio:
            raise ValueError("--image and --audio: a document has one of them; import the pairs one by one")
        if not (self.text or self.image or self.audio):
            raise ValueError(f"{where}: name columns by --text, --image or --audio; there are {known}")


def read_hf(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    pairing: Pairing,
    text: str | None = None,
    image: str | None = None,
    audio: str | None = None,
    key: str | None = None,
    split: str | None = None,
    span: Span = EVERYTHING,
) -> Iterator[Document]:
    """Rows of a data set: running text, a picture or a clip alone, or a pair with its text.

    Args:
        source: the folder.
        aside: takes rows that can't be used.
        progress: is told the rows.
        pairing: how a pair becomes a document; its source is also that of documents that are no pairs.
        text, image, audio: columns; a document has its text, its picture or clip, or both.
        key: column of ids; rows are numbered without it.
        split: of a folder with several.
        span: rows that are read.

    Raises:
        ValueError: no ``datasets``, no such folder, split or column, or too many rows that can't be used.
    """
    columns = _Columns(text, image, audio, key)
    data = _load(source, split)
    columns.check(data.column_names, source)
    data = data.select_columns(columns.named())  # the others would be decoded, too
    media = image or audio
    if text and media:
        pairing.check("image" if image else "audio")
    progress.expect(len(data))
    read = range(len(data))[span.start : span.stop]

    def make(row: Row[dict[str, Any]], fields: dict[str, Any]) -> Document:
        name = key_from(str(fields[key])) if key else row.place
        if media is None:
            assert text is not None, columns
            return Document((Text(text_of(fields[text], "text")),), key=name, source=pairing.source)
        content = _content(fields[media], media, source)
        segment = Image.open(content) if image else Audio.open(content)
        if text is None:
            return Document((segment,), key=name, source=pairing.source)
        return pairing.document(name, segment, text_of(fields[text], "text"))

    rows = (
        Row(source, f"{number:08d}", dict(fields))
        for number, fields in zip(read, _undecoded(data.select(read), media), strict=True)
    )
    yield from documents_from(rows, make, aside, progress)


def _load(source: Path, split: str | None) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ValueError("data sets of Hugging Face need its package: pip install 'omni[import]'") from error
    if not source.is_dir():
        raise ValueError(f"{source}: no such folder; expected one that `save_to_disk` wrote")
    try:
        data = datasets.load_from_disk(str(source))
    except FileNotFoundError as error:
        raise ValueError(f"{source}: not a folder that `save_to_disk` wrote ({error})") from error
    if not isinstance(data, datasets.DatasetDict):
        if split is not None:
            raise ValueError(f"{source}: --split {split!r}: this data set has no splits")
        return data
    if split not in data:
        got = "none was named" if split is None else f"got {split!r}"
        raise ValueError(f"{source}: --split: expected one of {sorted(data)}, {got}")
    return data[split]


def _undecoded(data: Any, media: str | None) -> Any:
    """The data set, giving the files of its pictures or clips in place of what it would decode them to."""
    import datasets

    if media is not None and isinstance(data.features[media], datasets.Image | datasets.Audio):
        return data.cast_column(media, type(data.features[media])(decode=False))
    return data


def _content(value: Any, column: str, source: Path) -> bytes | Path:
    inside = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(inside, bytes):
        return inside
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str):
        raise DocumentError(f"{column}: expected a file's bytes or path, got {value!r:.60}")
    return source / path
