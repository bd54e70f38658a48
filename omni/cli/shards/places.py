"""Folders as the user names them: on a local disk, or at a URL where the command can read one."""

from __future__ import annotations

import argparse
from pathlib import Path

SHARDS = "folder or URL of shards"


def folder_or_url(text: str) -> Path | str:
    """A folder that is read; a URL stays as it is, since a path would swallow one of its slashes."""
    from omni.datamodules.shards.shard_folder import is_url

    return text if is_url(text) else Path(text)


def local_folder(text: str) -> Path:
    """A folder that is written, or changed.

    Raises:
        argparse.ArgumentTypeError: a URL; says what to do.
    """
    if isinstance(folder_or_url(text), str):
        raise argparse.ArgumentTypeError(
            f"{text}: a URL, where this command needs a folder on a local disk; fetch the folder first if it is "
            f"changed (for S3: aws s3 cp --recursive URL FOLDER), and upload the result (docs/remote.md)"
        )
    return Path(text)
