"""Judges on disk: named arrays in one npz file, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that ``write_arrays`` wrote.

    Raises:
        ValueError: there is no such file.
    """
    if not path.is_file():
        raise ValueError(
            f"{path}: no saved judge here; `omni demo` writes its judges, or fit one on real data"
        )
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
