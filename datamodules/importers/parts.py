"""Imports a source in several processes or on a cluster: one task, and one new shard, for each part of it.

Where a source is made of files that stand alone, such as tars, each is a part; where a document is a file, as many
files as a shard has documents. Such a task sees a folder with links to its files alone, at their places below the
source. All other sources are cut between rows: a task reads the tables that name the rows, and decodes its own.
Either way keys are those of an import in one piece.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.file_formats import FILES, LINES, ONE_EACH
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.importers.rows import SET_ASIDE_FILE, Span, files_in, line_spans
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.parallel import Written, write_shards_parallel
from omni.datamodules.shards.pool import Workers
from omni.datamodules.shards.writer import PER_SHARD
from omni.sequence import Document


class _Collected(Quarantine):
    """Collects what one task sets aside; whether it is too much is decided when all are done."""

    def close(self, documents: int) -> None:
        """Write nothing."""


class _Silent:
    """Nobody is told how far a task is."""

    def expect(self, steps: int) -> None:
        pass

    def advance(self, steps: int) -> None:
        pass


class _Counted(_Silent):
    """Remembers how many rows there are."""

    rows = 0

    def expect(self, steps: int) -> None:
        self.rows = steps


@dataclass(frozen=True)
class FilesPart:
    """Reads some files of a source."""

    format: str
    source: Path
    files: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Iterator[Document | Damage]:
        with tempfile.TemporaryDirectory() as view:
            for file in self.files:
                link = Path(view) / file.relative_to(self.source)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
            for made in _documents(self.format, Path(view), self.options):
                yield made if isinstance(made, Document) else self._told(made, view)

    def _told(self, damage: Damage, view: str) -> Damage:
        shard, error = (text.replace(view, str(self.source)) for text in (damage.shard, damage.error))
        return replace(damage, shard=shard, error=error)


@dataclass(frozen=True)
class RowsPart:
    """Reads some rows of a source."""

    format: str
    source: Path
    span: Span
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Iterator[Document | Damage]:
        return _documents(self.format, self.source, {**self.options, "span": self.span})


Part = FilesPart | RowsPart


def _documents(name: str, source: Path, options: Mapping[str, Any]) -> Iterator[Document | Damage]:
    """What a reader makes, and behind it what it sets aside."""
    (form,) = (form for form in FORMATS if form.name == name)
    aside = _Collected(source, 1.0, file=SET_ASIDE_FILE, warn=False)
    yield from form.read()(source, aside, _Silent(), **options)
    for line in aside.lines:
        yield Damage(line["shard"], line["key"], line.get("part"), "decode", line["error"])


def parts_of(form: Format, source: Path, per_shard: int, options: Mapping[str, Any]) -> Seq[Part]:
    """The tasks of an import, in the order of the source.

    Raises:
        ValueError: no such source, or a single file of a format whose files are the tasks.
    """
    if form.name not in FILES:
        return [
            RowsPart(form.name, source, span, options) for span in _spans(form, source, per_shard, options)
        ]
    if not source.is_dir():
        raise ValueError(f"{source}: expected a folder of files {', '.join(FILES[form.name])}, one task each")
    files = files_in(source, *FILES[form.name])
    size = per_shard if form.name in ONE_EACH else 1
    starts = range(0, len(files), size)
    return [FilesPart(form.name, source, tuple(files[start : start + size]), options) for start in starts]


def _spans(form: Format, source: Path, size: int, options: Mapping[str, Any]) -> list[Span]:
    counted = _Counted()
    nothing = form.read()(source, _Collected(source, 1.0), counted, **options, span=Span(0, 0))
    assert not list(nothing), f"{form.name} reads rows outside its span"
    if form.name in LINES or source.suffix == ".jsonl":
        return line_spans(source, size)
    return [Span(start, start + size) for start in range(0, counted.rows, size)]


def import_parts(
    form: Format,
    source: Path,
    out: Path,
    options: Mapping[str, Any],
    *,
    per_shard: int = PER_SHARD,
    max_damaged: float = 0.0,
    workers: Workers = 1,
    report: Callable[[int], None] = lambda done: None,
) -> Written:
    """Import a source, one task for each part of it; resumable.

    Args:
        form: the format.
        source: what is imported.
        out: folder of the shards; shards there are replaced.
        options: keywords of the format's reader.
        per_shard: rows of a task, or its files where each is one document.
        max_damaged: share of the documents that may be set aside; with more nothing appears.
        workers: processes, or a cluster whose machines find ``source`` and ``out``.
        report: called with the number of tasks that are done.

    Raises:
        ValueError: too many were set aside, or see ``parts_of`` and ``write_shards_parallel``.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1 document, got {per_shard}")
    aside = Quarantine(out, max_damaged, "--max-damaged", SET_ASIDE_FILE, warn=False)
    parts = parts_of(form, source.resolve(), per_shard, options)
    identity = f"{form.name} {dict(options)!r} {per_shard} {source.resolve()} {_content(source)}"
    accept = partial(_set_aside, aside)
    return write_shards_parallel(parts, out, identity, workers, report=report, accept=accept)


def _set_aside(aside: Quarantine, written: Written) -> None:
    for damage in written.left_out:
        aside.add(damage.shard, damage.key or "", DocumentError(damage.error, part=damage.part))
    aside.close(written.documents + len(written.left_out))


def _content(source: Path) -> str:
    """Changes with any file of the source."""
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    for file in files:
        stat = file.stat()
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
