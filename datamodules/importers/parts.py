"""Imports a folder of source files in several processes or on a cluster: one task, and one new shard, a file.

Where a document is a file, a task has as many files as a shard has documents. Each task sees a folder with links to
its files alone, at their places below the source, so that keys are those of an import in one piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.file_formats import FILES, ONE_EACH
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.importers.rows import SET_ASIDE_FILE, files_in
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


@dataclass(frozen=True)
class _Part:
    """Reads some files of a source."""

    format: str
    source: Path
    files: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Iterator[Document | Damage]:
        (form,) = (form for form in FORMATS if form.name == self.format)
        with tempfile.TemporaryDirectory() as view:
            for file in self.files:
                link = Path(view) / file.relative_to(self.source)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
            aside = _Collected(Path(view), 1.0, file=SET_ASIDE_FILE, warn=False)
            yield from form.read()(Path(view), aside, _Silent(), **self.options)
            for line in aside.lines:
                error = line["error"].replace(view, str(self.source))
                shard = line["shard"].replace(view, str(self.source))
                yield Damage(shard, line["key"], line.get("part"), "decode", error)


def parts_of(form: Format, source: Path, per_shard: int, options: Mapping[str, Any]) -> list[_Part]:
    """The tasks of an import, in the order of the files.

    Raises:
        ValueError: a format whose files belong together, or no folder of files.
    """
    if form.name not in FILES:
        raise ValueError(
            f"{form.name} is read in one piece; --workers and --ray are for {', '.join(sorted(FILES))}"
        )
    if not source.is_dir():
        raise ValueError(f"{source}: expected a folder of files {', '.join(FILES[form.name])}, one task each")
    files = files_in(source, *FILES[form.name])
    size = per_shard if form.name in ONE_EACH else 1
    starts = range(0, len(files), size)
    return [_Part(form.name, source, tuple(files[start : start + size]), options) for start in starts]


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
    """Import a folder, one task a file; resumable.

    Args:
        form: the format.
        source: folder of files.
        out: folder of the shards; shards there are replaced.
        options: keywords of the format's reader.
        per_shard: files of a task where each is one document.
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
    stats = [(file, file.stat()) for part in parts for file in part.files]
    files = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats]
    identity = f"{form.name} {dict(options)!r} {per_shard} {files}"
    accept = partial(_set_aside, aside)
    return write_shards_parallel(parts, out, identity, workers, report=report, accept=accept)


def _set_aside(aside: Quarantine, written: Written) -> None:
    for damage in written.left_out:
        aside.add(damage.shard, damage.key or "", DocumentError(damage.error, part=damage.part))
    aside.close(written.documents + len(written.left_out))
