"""One way to open whatever is compared: a checkpoint of any model config, or a cascade of several."""

from __future__ import annotations

from pathlib import Path

import torch

from omni.baselines.cascade import FILE, Cascade
from omni.inference.omni import Omni

System = Omni | Cascade
"""What answers prompts: ``generate`` and ``generate_batch``, with ``tokenizers``, ``layout`` and ``model``."""


def open_system(path: Path | str, device: torch.device | str = "cpu", weights: str = "fp32") -> System:
    """The cascade of a folder with ``cascade.json``, or the model of a checkpoint or exported folder.

    Raises:
        ValueError: neither, or it can't be loaded.
    """
    if (Path(path) / FILE).is_file():
        return Cascade.from_folder(path, device, weights)
    return Omni.from_checkpoint(path, device, weights)
