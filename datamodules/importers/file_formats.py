"""Into what the sources of each format are cut where several processes import one: files, or rows."""

from __future__ import annotations

FILES = {
    "text": (".txt",),
    "webdataset": (".tar",),
    "obelics": (".parquet", ".jsonl"),
    "omnicorpus": (".parquet", ".jsonl"),
    "mmc4": (".jsonl",),
    "digits": (".wav",),
}
"""Formats whose files stand alone, and the suffixes of these files. All others are cut between rows."""
ONE_EACH = {"text", "digits"}
"""Those of them whose files are one document, or few."""
LINES = {"jsonl", "chat"}
"""Formats whose rows are lines of one file, whatever its name: a task begins to read at its first line."""
