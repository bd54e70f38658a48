"""Reading the files of a saved codec, with errors that name the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from omni.tokenizers.audio.base import CODEC_FILE

Config = TypeVar("Config")


def codec_file(files: Mapping[str, bytes], name: str) -> bytes:
    """Content of a file.

    Raises:
        ValueError: it is missing; the message lists the files that are there.
    """
    if name not in files:
        raise ValueError(f"audio codec: file {name!r} is missing, found {sorted(files)}")
    return files[name]


def codec_settings(files: Mapping[str, bytes]) -> dict[str, Any]:
    """``codec.json`` without the kind; lists become tuples."""
    settings = json.loads(codec_file(files, CODEC_FILE))
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if name != "kind"
    }


def codec_config(files: Mapping[str, bytes], config_class: type[Config]) -> Config:
    """``codec.json`` as a config.

    Raises:
        ValueError: a setting is unknown or out of range.
    """
    settings = codec_settings(files)
    try:
        return config_class(**settings)
    except TypeError as error:
        raise ValueError(f"{CODEC_FILE}: no settings of a {config_class.__name__} ({error})") from error
