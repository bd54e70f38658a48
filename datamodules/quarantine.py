"""Sets damaged documents aside: counted, written down, and an error when there are too many."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from pathlib import Path
from typing import Any

QUARANTINE_FILE = "quarantine.jsonl"
IN_A_ROW = 100
"""Damaged documents one after another at which reading stops, whatever share is allowed."""


class Quarantine:
    """Collects the documents of a folder that could not be used."""

    def __init__(
        self,
        folder: Path,
        most: float,
        setting: str = "data.max_damaged",
        file: str = QUARANTINE_FILE,
        warn: bool = True,
        documents: int | None = None,
        in_a_row: int | None = None,
    ) -> None:
        """
        Args:
            folder: where the list is written.
            most: share of the documents that may be damaged before it is an error.
            setting: what the user calls ``most``.
            file: name of the list.
            warn: whether the first damaged document of a shard is a warning.
            documents: how many there are, where that is known before they are read: then ``add`` stops as soon
                as too many are damaged.
            in_a_row: how many may be damaged one after another before ``add`` stops; any number by default.

        Raises:
            ValueError: ``most`` is no share.
        """
        if not 0 <= most <= 1:
            raise ValueError(f"{setting} is a share of the documents, expected 0 to 1, got {most:g}")
        self.folder, self.most, self.setting, self.warn = folder, most, setting, warn
        self.documents, self.in_a_row = documents, in_a_row
        self.path = folder / file
        self.lines: list[dict[str, Any]] = []
        self._shards: set[str] = set()
        self._met: set[tuple[str, str, str]] = set()
        self._row = 0

    def add(self, shard: str, key: str, error: Exception) -> None:
        """Set a document aside. One that is met again, in a later epoch, is listed and counted once.

        Raises:
            ValueError: too many are damaged (see ``documents`` and ``in_a_row``).
        """
        if self.warn and shard not in self._shards:
            warnings.warn(f"damaged document set aside: {error}", stacklevel=2)
        self._shards.add(shard)
        self._row += 1
        if (shard, key, str(error)) not in self._met:
            self._met.add((shard, key, str(error)))
            part = getattr(error, "part", None)
            place = {"part": part, "offset": getattr(error, "offset", None)} if part is not None else {}
            self._list({"shard": shard, "key": key, **place, "error": str(error)})
        if self.in_a_row is not None and self._row >= self.in_a_row:
            raise ValueError(f"{self.folder}: {self._row} documents in a row are damaged; {self._listed()}")
        if self.documents is not None:
            self._check_share(self.documents)

    def _list(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def good(self) -> None:
        """Note a document that could be used: the damaged ones are no longer in a row."""
        self._row = 0

    def close(self, documents: int) -> None:
        """Write the list (none when nothing is damaged).

        Raises:
            ValueError: more than the allowed share of ``documents`` was damaged.
        """
        if not self.lines and self.path.exists():  # of an earlier reading
            self.path.unlink()
        self._check_share(documents)
        if self.lines:
            self._write()

    def _check_share(self, documents: int) -> None:
        if len(self.lines) > self.most * documents:
            raise ValueError(
                f"{self.folder}: {len(self.lines)} of {documents} documents are damaged, more than the "
                f"allowed share of {self.most:g} ({self.setting}); {self._listed()}"
            )

    def _listed(self) -> str:
        return f"first: {self.lines[0]['error']}; {self._write()}"

    def _write(self) -> str:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        except OSError as error:  # data is often mounted read-only
            warnings.warn(f"the list of damaged documents can't be written ({error})", stacklevel=4)
            return f"the list of all can't be written ({error})"
        return f"all are listed in {self.path}"


class RunningQuarantine(Quarantine):
    """What a run sets aside while it goes on: each line is written at once, for it may be killed at any time.

    The processes of a run share the list, so the allowed share is of what all of them met. Lines of earlier runs
    stay in it and are not counted, until they are met again.
    """

    def __init__(self, folder: Path, most: float, documents: int) -> None:
        """Arguments as of ``Quarantine``."""
        super().__init__(folder, most, documents=documents, in_a_row=IN_A_ROW)
        self._counted: set[str] = set()
        self._old: set[str] = set()
        self._read = 0
        """Bytes of the list that were read."""
        self._unwritten: OSError | None = None
        if self.path.exists():
            content = self.path.read_text()
            self._old, self._read = set(content.splitlines()), len(content.encode())

    def _list(self, line: dict[str, Any]) -> None:
        said = json.dumps(line)
        try:
            self._share(said)
        except OSError as error:  # data is often mounted read-only
            if self._unwritten is None:
                warnings.warn(f"the list of damaged documents can't be written ({error})", stacklevel=4)
            self._unwritten = error
        self._count(said)

    def _count(self, said: str) -> None:
        if said not in self._counted:
            self._counted.add(said)
            self.lines.append(json.loads(said))

    def _share(self, said: str) -> None:
        """Count what other processes listed since, and add a line where it isn't there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            if file.tell() < self._read:  # it was deleted, or written anew
                self._old, self._read = set(), 0
            file.seek(self._read)
            for other in file.read().splitlines():
                self._count(other)
            if said not in self._counted | self._old:
                file.write(f"{said}\n")
            self._read = file.tell()

    def _write(self) -> str:
        if self._unwritten is not None:
            return f"the list of all can't be written ({self._unwritten})"
        return f"all are listed in {self.path}"
