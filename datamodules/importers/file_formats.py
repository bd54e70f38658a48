"""Which formats are made of files that can be imported each by itself."""

from __future__ import annotations

FILES = {
    "text": (".txt",),
    "webdataset": (".tar",),
    "obelics": (".parquet", ".jsonl"),
    "omnicorpus": (".parquet", ".jsonl"),
    "mmc4": (".jsonl",),
    "digits": (".wav",),
}
"""Formats whose files stand alone, and the suffixes of these files."""
ONE_EACH = {"text", "digits"}
"""Those of them whose files are one document, or few."""
