"""WebDataset caption shards: tars with ``KEY.jpg``, ``KEY.txt`` and ``KEY.json``, as img2dataset writes them.

Schema: https://github.com/rom1504/img2dataset (``output_format`` ``webdataset``): the text is the caption, the
JSON has ``url``, ``caption``, ``key``, ``status``, ``width``, ``height`` and others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.pictures import Members, picture_in, tar_members
from omni.datamodules.importers.rows import (
    Progress,
    Row,
    documents_from,
    files_in,
    key_from,
    key_prefix,
    text_of,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import parse_json
from omni.sequence import Document, Image


def read_caption_tars(
    source: Path, aside: Quarantine, progress: Progress, *, pairing: Pairing, caption: str | None = None
) -> Iterator[Document]:
    """Pictures with their captions. Keys are ``SHARD/KEY``, since other tools number from 0 in every shard.

    Args:
        source: a tar, or a folder of them.
        aside: takes the keys without a picture that can be read, or without a caption, and damaged tars.
        progress: is told the bytes that are read.
        pairing: how picture and caption become a document.
        caption: field of ``KEY.json`` to take the caption from; otherwise it is ``KEY.txt`` or, without that
            file, ``caption`` of the JSON.

    Raises:
        ValueError: no tars there, or too many keys that can't be used.
    """
    tars = files_in(source, ".tar")
    progress.expect(sum(tar.stat().st_size for tar in tars))

    def make(row: Row[Members], members: Members) -> Document:
        image = Image.open(picture_in(members).read())
        return pairing.document(
            key_from(f"{key_prefix(row.file, source)}/{row.place}"), image, _caption(members, caption)
        )

    yield from documents_from(_rows(tars), make, aside, progress)


def _rows(tars: list[Path]) -> Iterator[Row[Members]]:
    for tar in tars:
        try:
            for key, members in tar_members(tar):
                yield Row(tar, key, members, sum(file.place[1] for file in members.values()))
        except DocumentError as error:
            yield Row(tar, "the rest", DocumentError(str(error).removeprefix(f"{tar}: ")))


def _caption(members: Members, field: str | None) -> str:
    if field is None and "txt" in members:
        try:
            return text_of(members["txt"].read().decode(), "caption")
        except UnicodeDecodeError as error:
            raise DocumentError(f"txt: not UTF-8 ({error})") from error
    if "json" not in members:
        raise DocumentError(f"no caption: neither txt nor json among its files {sorted(members)}")
    head = parse_json(members["json"].read(), "json")
    name = field or "caption"
    if name not in head:
        raise DocumentError(f"json has no field {name!r}, but {json.dumps(sorted(head))}")
    return text_of(head[name], f"json.{name}")
