"""Writes documents as WebDataset shards with their indexes; a shard appears only when all are whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import webdataset

from omni.datamodules.shards.format import DocumentError, to_members
from omni.datamodules.shards.index import split_name, write_index
from omni.sequence import Document

ASIDE = ".partial"
SUMMARY_FILE = "dataset.json"


def write_shards(documents: Iterable[Document], folder: Path, per_shard: int = 2_000) -> dict[str, int]:
    """Write ``folder/shard-000000.tar`` ..., each with its index, and ``dataset.json``.

    Shards of an earlier writing are replaced once the new ones are whole. The same documents give the same
    bytes. Returns the number of documents by source.

    Raises:
        ValueError: no documents, or a key that comes twice or can't be a file's name in the tar.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1 document, got {per_shard}")
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"shard-*{ASIDE}"):
        left_over.unlink()
    counts: Counter[str] = Counter()
    # absolute and without %: the writer takes it as a URL and as a format string
    pattern = str(folder.resolve()).replace("%", "%%") + f"/shard-%06d.tar{ASIDE}"
    try:
        with webdataset.ShardWriter(
            pattern, maxcount=per_shard, verbose=0, mtime=0, format="PAX_FORMAT"
        ) as sink:
            for document in _with_good_keys(documents):
                sink.write({"__key__": document.key, **to_members(document)})
                counts[document.source] += 1
        if not counts:
            raise ValueError(f"{folder}: no documents to write")
        shards = _replace_shards(folder)
    finally:
        for failed in folder.glob(f"shard-*{ASIDE}"):
            failed.unlink()
    by_source = dict(sorted(counts.items()))
    summary = {"shards": shards, "documents": counts.total(), "by_source": by_source}
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=1))
    return by_source


def _replace_shards(folder: Path) -> list[str]:
    """Put the finished shards in the place of the old ones; returns their names."""
    for old in [*folder.glob("shard-*.tar"), *folder.glob("shard-*.tar.idx"), folder / SUMMARY_FILE]:
        old.unlink(missing_ok=True)
    names = []
    for aside in sorted(folder.glob(f"shard-*{ASIDE}")):
        shard = aside.with_name(aside.name.removesuffix(ASIDE))
        aside.rename(shard)
        write_index(shard)
        names.append(shard.name)
    return names


def _with_good_keys(documents: Iterable[Document]) -> Iterator[Document]:
    keys: set[str] = set()
    for document in documents:
        check_key(document.key)
        if document.key in keys:
            raise DocumentError(f"document key {document.key!r} comes twice; keys must be unique")
        keys.add(document.key)
        yield document


def check_key(key: str) -> None:
    """Raise ``DocumentError`` for a key that WebDataset would not read back as it is."""
    if split_name(f"{key}.json") != (key, "json") or not key.isprintable() or key.startswith("/"):
        raise DocumentError(
            f"document key {key!r}: expected a file name without dots (WebDataset cuts names there), "
            f"at least one character long"
        )
