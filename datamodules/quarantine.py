"""Sets damaged documents aside: counted, written down, and an error when there are too many."""

from __future__ import annotations

import json
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
            self.lines.append({"shard": shard, "key": key, **place, "error": str(error)})
        if self.in_a_row is not None and self._row >= self.in_a_row:
            raise ValueError(f"{self.folder}: {self._row} documents in a row are damaged; {self._listed()}")
        if self.documents is not None:
            self._check_share(self.documents)

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
