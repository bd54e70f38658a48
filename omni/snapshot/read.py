"""Tensors of a checkpoint's folder as wholes, in one process."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

from omni.snapshot.manifest import Manifest
from omni.snapshot.storage import FolderReader, Tensors, dtype_of

warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")


def read_whole(folder: Path, manifest: Manifest, names: Iterable[str]) -> Tensors:
    """The named tensors on the CPU, put together from the pieces of all ranks."""
    tensors = {
        name: torch.empty(manifest.tensors[name].shape, dtype=dtype_of(manifest.tensors[name]))
        for name in names
    }
    if tensors:
        dcp.load(dict(tensors), storage_reader=FolderReader(folder, manifest), no_dist=True)
    return tensors
