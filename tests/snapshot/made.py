"""Checkpoints' folders for tests, made by the saver of training."""

from __future__ import annotations

from pathlib import Path

import torch

from omni.parallel.checkpoint.saver import Saver, Target

TENSORS = {
    "weights/model.norm.weight": torch.arange(4.0),
    "weights/model.blocks.0.moe.experts.w13": torch.arange(24.0).reshape(4, 2, 3),
    "optimizer/0/model.norm.weight/step": torch.tensor(7.0),
}
FILES = {"trainer.pt": b"loops", "tokenizers/text.model": b"pieces"}


def save(folder: Path, step: int = 3, run: str = "run", keep: int = 0) -> Path:
    """One whole checkpoint, as ``last.ckpt`` names it."""
    saver = Saver()
    target = Target(folder=folder, run=run, step=step, files=FILES, expected={}, keep=keep)
    saver.save({name: tensor + step for name, tensor in TENSORS.items()}, target)
    assert saver.wait() and not saver.wait()
    saver.close()
    return folder


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
