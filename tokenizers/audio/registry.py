"""Finds the codec class for a saved codec."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from omni.tokenizers.audio.base import CODEC_FILE, AudioCodec
from omni.tokenizers.audio.codec_files import codec_kind

# Modules are imported on use: the neural and pretrained codecs bring heavy libraries.
CODECS: dict[str, str] = {
    "spectral": "omni.tokenizers.audio.spectral:SpectralCodec",
    "neural": "omni.tokenizers.audio.neural:NeuralCodec",
    "mimi": "omni.tokenizers.audio.pretrained:MimiCodec",
    "encodec": "omni.tokenizers.audio.pretrained:EncodecCodec",
    "dac": "omni.tokenizers.audio.pretrained:DacCodec",
}


def codec_class(kind: str) -> type[AudioCodec]:
    """The class of codecs called ``kind``."""
    if kind not in CODECS:
        raise ValueError(f"unknown audio codec kind {kind!r}, expected one of {sorted(CODECS)}")
    module, name = CODECS[kind].split(":")
    return getattr(importlib.import_module(module), name)


def codec_from_files(files: Mapping[str, bytes]) -> AudioCodec:
    """The codec described by the files of a codec folder (name to content).

    Raises:
        ValueError: a file is missing or damaged; the message names it.
    """
    return codec_class(codec_kind(files)).from_files(files)


def load_codec(folder: Path | str) -> AudioCodec:
    """Load a codec that was saved to ``folder``."""
    folder = Path(folder)
    if not (folder / CODEC_FILE).is_file():
        raise ValueError(
            f"{folder}: no audio codec here ({CODEC_FILE} is missing); "
            f"fit one with `omni tokenizer train-audio --data SHARDS --out {folder}`"
        )
    return codec_from_files({p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()})
