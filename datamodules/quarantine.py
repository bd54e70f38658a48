"""Sets damaged documents aside: counted, written down, and an error when there are too many."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

QUARANTINE_FILE = "quarantine.jsonl"


class Quarantine:
    """Collects the documents of a folder that could not be used."""

    def __init__(
        self,
        folder: Path,
        most: float,
        setting: str = "data.max_damaged",
        file: str = QUARANTINE_FILE,
        warn: bool = True,
    ) -> None:
        """
        Args:
            folder: where the list is written.
            most: share of the documents that may be damaged before it is an error.
            setting: what the user calls ``most``.
            file: name of the list.
            warn: whether the first damaged document of a shard is a warning.

        Raises:
            ValueError: ``most`` is no share.
        """
        if not 0 <= most <= 1:
            raise ValueError(f"{setting} is a share of the documents, expected 0 to 1, got {most:g}")
        self.folder, self.most, self.setting, self.warn = folder, most, setting, warn
        self.path = folder / file
        self.lines: list[dict[str, str]] = []
        self._shards: set[str] = set()

    def add(self, shard: str, key: str, error: Exception) -> None:
        """Set a document aside."""
        if self.warn and shard not in self._shards:
            warnings.warn(f"damaged document set aside: {error}", stacklevel=2)
        self._shards.add(shard)
        self.lines.append({"shard": shard, "key": key, "error": str(error)})

    def close(self, documents: int) -> None:
        """Write the list (none when nothing is damaged).

        Raises:
            ValueError: more than the allowed share of ``documents`` was damaged.
        """
        listed = self._write()
        if len(self.lines) > self.most * documents:
            raise ValueError(
                f"{self.folder}: {len(self.lines)} of {documents} documents are damaged, more than the "
                f"allowed share of {self.most:g} ({self.setting}); first: {self.lines[0]['error']}; {listed}"
            )

    def _write(self) -> str:
        if not self.lines:
            if self.path.exists():  # of an earlier reading
                self.path.unlink()
            return ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        except OSError as error:  # data is often mounted read-only
            warnings.warn(f"the list of damaged documents can't be written ({error})", stacklevel=3)
            return f"the list of all can't be written ({error})"
        return f"all are listed in {self.path}"
