"""Reading the files of a saved codec, with errors that name the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from omni.tokenizers.audio.arrays import npy_array
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


def codec_array(files: Mapping[str, bytes], name: str) -> np.ndarray:
    """The array in a ``.npy`` file.

    Raises:
        ValueError: it is missing or damaged.
    """
    content = codec_file(files, name)
    try:
        return npy_array(content)
    except ValueError as error:
        raise ValueError(f"audio codec: {name}: {error}") from error


def codec_kind(files: Mapping[str, bytes]) -> str:
    """``kind`` in ``codec.json``.

    Raises:
        ValueError: ``codec.json`` is missing, no JSON object, or has no kind.
    """
    settings = _codec_json(files)
    if not isinstance(settings.get("kind"), str):
        raise ValueError(f"audio codec: {CODEC_FILE}: expected a name under 'kind', got {settings!r:.60}")
    return settings["kind"]


def codec_settings(files: Mapping[str, bytes]) -> dict[str, Any]:
    """``codec.json`` without the kind; lists become tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _codec_json(files).items()
        if name != "kind"
    }


def _codec_json(files: Mapping[str, bytes]) -> dict[str, Any]:
    content = codec_file(files, CODEC_FILE)
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"audio codec: {CODEC_FILE}: {len(content)} bytes, no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"audio codec: {CODEC_FILE}: expected a JSON object, got {found!r:.60}")
    return found


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
