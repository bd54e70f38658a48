"""``dataset.json``: what a folder of shards holds, read off the indexes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

import numpy as np

from omni.datamodules.shards.scan import shards_in
from omni.datamodules.shards.shard_index import ShardIndex, read_index
from omni.modality import MODALITIES

SUMMARY_FILE = "dataset.json"


def data_fingerprint(indexes: Seq[ShardIndex]) -> str:
    """32 hex digits of the content of shards in this order; how they were measured doesn't count."""
    digest = hashlib.blake2b(digest_size=16)
    for index in indexes:
        head = index.head
        digest.update(f"{index.shard.name} {head.tar_size} {head.headers} {head.content}\n".encode())
    return digest.hexdigest()


def documents_by_source(indexes: Seq[ShardIndex]) -> dict[str, int]:
    """Documents of each source, in the order of their names."""
    counts: Counter[str] = Counter()
    for index in indexes:
        arrays = index.arrays
        of_source = np.bincount(arrays.documents["source"][:-1], minlength=len(arrays.sources))
        counts.update(dict(zip(arrays.sources, of_source.tolist(), strict=False)))
    return dict(sorted(counts.items()))


def layout_of(indexes: Seq[ShardIndex]) -> str | None:
    """Fingerprint of the layout that measured all shards; ``None`` where not all were measured by one."""
    layouts = {index.layout for index in indexes}
    return layouts.pop() if len(layouts) == 1 else None


def summary(indexes: Seq[ShardIndex]) -> dict[str, Any]:
    """Everything that ``dataset.json`` says."""
    shards = [
        {
            "name": index.shard.name,
            "bytes": index.size,
            "digest": index.head.digest,
            "documents": len(index),
        }
        for index in indexes
    ]
    said: dict[str, Any] = {
        "documents": sum(map(len, indexes)),
        "by_source": documents_by_source(indexes),
        "fingerprint": data_fingerprint(indexes),
        "layout": layout_of(indexes),
    }
    if said["layout"] is not None:
        for name in ("positions", "targets"):
            total = sum(getattr(index, name).sum(0, dtype=np.int64) for index in indexes)
            said[name] = dict(zip((m.name for m in MODALITIES), total.tolist(), strict=True))
    return said | {"shards": shards}


def write_summary(folder: Path) -> dict[str, Any]:
    """Write ``dataset.json`` of a folder whose shards are indexed; returns what it says.

    Raises:
        DocumentError: an index is missing or stale.
    """
    said = summary([read_index(shard) for shard in shards_in(folder)])
    aside = folder / f"{SUMMARY_FILE}.tmp"
    aside.write_text(json.dumps(said, indent=1))
    aside.replace(folder / SUMMARY_FILE)
    return said
