"""Writes shards in several processes; a writing that was stopped goes on where it was.

The documents come as one *factory* per shard: a picklable function without arguments. Finished shards wait in
``FOLDER/.writing`` until all are there; after a crash those are not written again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.keys import key_hashes, keys_in_two_shards
from omni.datamodules.shards.pool import run_over
from omni.datamodules.shards.shard_index import index_path, read_index
from omni.datamodules.shards.writer import begin_writing, publish, write_tars
from omni.sequence import Document

Factory = Callable[[], Iterable[Document]]
"""Makes the documents of one shard."""


@dataclass(frozen=True)
class _Job:
    factory: Factory
    tar: Path
    codec: str | None

    @property
    def done(self) -> bool:
        """Whether the shard is whole: its index comes last."""
        return self.tar.exists() and index_path(self.tar).exists()


def write_shards_parallel(
    factories: Seq[Factory],
    folder: Path,
    identity: str,
    workers: int = 1,
    codec: str | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Write one shard for each factory (none where it makes no documents), then let all appear at once.

    The same factories give the same bytes, whatever the number of workers. Returns the number of documents by
    source.

    Args:
        factories: make the documents of each shard.
        folder: made where it isn't there; shards of an earlier writing are replaced at the end.
        identity: says what is written (sources and settings), so that only the same writing goes on.
        workers: processes.
        codec: see ``write_shards``.
        report: called with the number of shards that are done, those of an earlier start among them.

    Raises:
        ValueError: another writing was begun there, no documents, or a bad key or one that comes twice.
    """
    if not identity:
        raise ValueError("identity is empty, expected what tells this writing from another")
    writing = begin_writing(folder, identity)
    jobs = [_Job(factory, writing / f"{n:06d}.tar", codec) for n, factory in enumerate(factories)]
    waiting = [job for job in jobs if not job.done]
    report(len(jobs) - len(waiting))
    for done, _ in enumerate(run_over(_write, waiting, workers), len(jobs) - len(waiting) + 1):
        report(done)
    indexes = [index for job in jobs if len(index := read_index(job.tar))]
    if not indexes:
        raise ValueError(f"{folder}: no documents to write")
    doubled = keys_in_two_shards(indexes, [key_hashes(index) for index in indexes])
    if doubled:
        raise DocumentError(
            f"document key {doubled[0].key!r} comes twice; keys must be unique: make them so, delete {writing} "
            f"and start again"
        )
    by_source = publish([index.shard for index in indexes], folder)
    shutil.rmtree(writing)
    return by_source


def _write(job: _Job) -> None:
    write_tars(job.factory(), job.tar.parent, None, job.codec, first=int(job.tar.stem))
    write_index(job.tar)
