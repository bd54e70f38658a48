"""Keys and values of a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_mapping(path: Path, what: str = "a mapping of keys") -> dict[str, Any]:
    """The keys of a YAML file; ``what`` is expected there.

    Raises:
        ValueError: no such file, not YAML, or no mapping; the message names the file.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such config file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected {what}, got {values!r:.60}")
    return values
