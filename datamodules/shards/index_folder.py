"""Writes the indexes of a folder of shards, in several processes where that pays, and ``dataset.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.dataset import write_summary
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.pool import Workers, run_over
from omni.datamodules.shards.scan import shards_in
from omni.layout import Layout
from omni.tokenizers.bundle import Tokenizers


@dataclass
class FolderIndexed:
    """What came of indexing a folder."""

    shards: int = 0
    """Shards that were indexed."""
    documents: int = 0
    """Documents in them."""
    refused: list[Damage] = field(default_factory=list)
    """Shards that can't be indexed; they have no index now."""
    damaged: list[Damage] = field(default_factory=list)
    """Documents that are no good; they are indexed, with 0 positions."""
    summary: dict[str, Any] | None = None
    """What ``dataset.json`` says; not written where a shard was refused."""

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def index_folder(
    folder: Path,
    tokenizers: Path | None = None,
    workers: Workers = 1,
    report: Callable[[], None] = lambda: None,
) -> FolderIndexed:
    """Index all shards of a folder anew; ``report`` is called after each.

    Args:
        folder: the shards.
        tokenizers: folder of the tokenizers that the documents are measured with; without it they are not.
        workers: processes, or a cluster.
        report: called after each shard.

    Raises:
        ValueError: no shards there, or no tokenizers.
    """
    shards = shards_in(folder)
    if tokenizers is not None:
        _layout(tokenizers)  # an error before any work
    found = FolderIndexed()
    for count, damaged, refused in run_over(partial(_index, tokenizers=tokenizers), shards, workers):
        found.shards += refused is None
        found.documents += count
        found.damaged += damaged
        found.refused += [refused] if refused else []
        report()
    if not found.refused:
        found.summary = write_summary(folder)
    return found


def _index(shard: Path, tokenizers: Path | None) -> tuple[int, list[Damage], Damage | None]:
    """Documents, damaged ones, and what is wrong with the shard as a whole."""
    try:
        indexed = write_index(shard, _layout(tokenizers) if tokenizers else None)
    except DocumentError as error:
        return 0, [], Damage.of(str(shard), None, error)
    return len(indexed.index), indexed.damaged, None


@lru_cache(maxsize=1)
def _layout(tokenizers: Path) -> Layout:
    """Loaded once in each process."""
    return Layout(Tokenizers.load(tokenizers))
