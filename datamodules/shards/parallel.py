"""Writes shards in several processes or on a cluster; a writing that was stopped goes on where it was.

The documents come as one *factory* per shard: a picklable function without arguments. Finished shards wait in
``FOLDER/.writing`` until all are there; after a crash those are not written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.dataset import documents_by_source
from omni.datamodules.shards.index import write_index, write_whole
from omni.datamodules.shards.keys import key_hashes, keys_in_two_shards
from omni.datamodules.shards.pool import FailedItemsError, Workers, run_each
from omni.datamodules.shards.publish import finish_publishing, is_publishing, publish
from omni.datamodules.shards.shard_index import index_path, read_index
from omni.datamodules.shards.tasks import Failed
from omni.datamodules.shards.writer import Storable, begin_writing, write_tars
from omni.layout import Layout
from omni.tokenizers.bundle import Tokenizers

Factory = Callable[[], Iterable[Storable | Damage]]
"""Makes the documents of one shard, and ``Damage`` in the place of those that it leaves out."""


@dataclass(frozen=True)
class Written:
    """What came of a writing."""

    by_source: dict[str, int]
    """Documents."""
    left_out: list[Damage] = field(default_factory=list)
    """What the factories could not use."""

    @property
    def documents(self) -> int:
        """Documents in all."""
        return sum(self.by_source.values())


@dataclass(frozen=True)
class _Job:
    factory: Factory
    tar: Path
    codec: str | None
    tokenizers: Path | None

    def __str__(self) -> str:
        return f"shard {int(self.tar.stem)}"

    @property
    def note(self) -> Path:
        """What was left out of the shard; written last."""
        return self.tar.with_suffix(".json")

    @property
    def done(self) -> bool:
        """Whether the shard is whole, and waits here."""
        return all(path.exists() for path in (self.tar, index_path(self.tar), self.note))


def write_shards_parallel(
    factories: Seq[Factory],
    folder: Path,
    identity: str,
    workers: Workers = 1,
    codec: str | None = None,
    report: Callable[[int], None] = lambda done: None,
    tokenizers: Path | None = None,
    accept: Callable[[Written], None] = lambda written: None,
) -> Written:
    """Write one shard for each factory (none where it makes no documents), then let all appear at once.

    The same factories give the same bytes, whatever the number of workers.

    Args:
        factories: make the documents of each shard.
        folder: made where it isn't there; shards of an earlier writing are replaced at the end.
        identity: says what is written (sources and settings), so that only the same writing goes on.
        workers: processes, or a cluster.
        codec: see ``write_shards``.
        report: called with the number of shards that are done, those of an earlier start among them.
        tokenizers: folder of tokenizers that the documents are measured with; without it they are not.
        accept: called before the shards appear; a ``ValueError`` keeps them back, and those that are done.

    Raises:
        ValueError: another writing was begun there, shards failed (the others are kept for the next start), no
            documents, or a bad key or one that comes twice.
    """
    if not identity:
        raise ValueError("identity is empty, expected what tells this writing from another")
    if tokenizers is not None:
        layout_of_folder(tokenizers)  # an error before any work
    writing = begin_writing(folder, identity)
    jobs = [_Job(factory, writing / f"{n:06d}.tar", codec, tokenizers) for n, factory in enumerate(factories)]
    if is_publishing(folder, identity):
        report(len(jobs))
        left_out = _left_out(jobs)
        return Written(finish_publishing(folder), left_out)
    _run([job for job in jobs if not job.done], len(jobs), folder, workers, report)
    left_out = _left_out(jobs)
    indexes = [index for job in jobs if len(index := read_index(job.tar))]
    accept(Written(documents_by_source(indexes), left_out))
    if not indexes:
        raise ValueError(f"{folder}: no documents to write")
    doubled = keys_in_two_shards(indexes, [key_hashes(index) for index in indexes])
    if doubled:
        raise DocumentError(
            f"document key {doubled[0].key!r} comes twice; keys must be unique: make them so, delete {writing} "
            f"and start again"
        )
    return Written(publish([index.shard for index in indexes], folder, identity), left_out)


def _left_out(jobs: list[_Job]) -> list[Damage]:
    return [Damage(**one) for job in jobs for one in json.loads(job.note.read_text())]


def _run(
    waiting: list[_Job], total: int, folder: Path, workers: Workers, report: Callable[[int], None]
) -> None:
    done = total - len(waiting)
    report(done)
    failed: list[Failed[_Job]] = []
    for outcome in run_each(_write, waiting, workers):
        if isinstance(outcome, Failed):
            failed.append(outcome)
        else:
            done += 1
            report(done)
    if failed:
        raise FailedItemsError(
            f"{folder}: {len(failed)} of {total} shards failed; the same command goes on with them when the cause "
            f"is gone; " + "; ".join(map(str, failed[:3])) + ("; ..." if len(failed) > 3 else "")
        )


def _write(job: _Job) -> None:
    left_out: list[Damage] = []

    def storable() -> Iterator[Storable]:
        for made in job.factory():
            if isinstance(made, Damage):
                left_out.append(made)
            else:
                yield made

    write_tars(storable(), job.tar.parent, None, job.codec, first=int(job.tar.stem))
    write_index(job.tar, layout_of_folder(job.tokenizers) if job.tokenizers else None)
    write_whole(job.note, json.dumps([asdict(damage) for damage in left_out]).encode())


@lru_cache(maxsize=1)
def layout_of_folder(tokenizers: Path) -> Layout:
    """The layout of a folder of tokenizers, loaded once in each process."""
    return Layout(Tokenizers.load(tokenizers))
