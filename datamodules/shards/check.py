"""Reads every document of a folder of shards and says which are damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omni.datamodules.shards.format import DocumentError
from omni.datamodules.shards.index import Entry, ShardIndex, read_index, shards_in
from omni.datamodules.shards.reader import read_document
from omni.sequence import Document


@dataclass(frozen=True)
class Damage:
    """One damaged document, or a damaged shard."""

    shard: str
    key: str | None
    """``None`` where the shard as a whole can't be read."""
    error: str
    """What is wrong; names shard, key and field."""


@dataclass
class Check:
    """What a folder of shards holds."""

    shards: int = 0
    documents: int = 0
    """All that the indexes list, the damaged ones too."""
    by_source: Counter[str] = field(default_factory=Counter)
    """Whole documents by source."""
    by_modality: Counter[str] = field(default_factory=Counter)
    """Segments of whole documents by modality."""
    damaged: list[Damage] = field(default_factory=list)

    def count(self, document: Document) -> None:
        """Count a whole document."""
        self.by_source[document.source] += 1
        self.by_modality.update(segment.modality.name for segment in document.segments)

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        counts = {"by_source": dict(self.by_source), "by_modality": dict(self.by_modality)}
        damaged = [asdict(damage) for damage in self.damaged]
        return {"shards": self.shards, "documents": self.documents, **counts, "damaged": damaged}


Places = list[tuple[ShardIndex, Entry]]


def check_shards(
    folder: Path, progress: Callable[[Places], Iterable[tuple[ShardIndex, Entry]]] = iter
) -> Check:
    """Read every document of the folder through the indexes; ``progress`` wraps the list of documents.

    Raises:
        DocumentError: no shards there.
    """
    check = Check()
    places: Places = []
    for shard in shards_in(folder):
        check.shards += 1
        try:
            index = read_index(shard)
        except DocumentError as error:
            check.damaged.append(Damage(str(shard), None, str(error)))
            continue
        places += [(index, entry) for entry in index.entries]
    check.documents = len(places)
    for index, entry in progress(places):
        try:
            check.count(read_document(index, entry))
        except DocumentError as error:
            check.damaged.append(Damage(str(index.shard), entry.key, str(error)))
    return check
