"""What the callbacks count, and when they look."""

from __future__ import annotations

from unittest.mock import Mock

import lightning
import torch

from omni.callbacks.due import is_due
from omni.callbacks.router import expert_load
from omni.sequence import PADDING


def test_expert_load_is_the_share_of_each_modality() -> None:
    """Five positions go to two of four experts each; the last is padding, and there is no audio."""
    experts_NT = torch.tensor([[0, 1], [0, 2], [3, 1], [3, 2], [0, 1]])
    modality_N = torch.tensor([0, 0, 1, 1, PADDING], dtype=torch.uint8)
    assert expert_load(experts_NT, modality_N, experts=4).tolist() == [
        [0.5, 0.25, 0.25, 0.0],  # text
        [0.0, 0.25, 0.25, 0.5],  # image
        [0.0, 0.0, 0.0, 0.0],  # audio
    ]


def test_callbacks_look_once_a_step() -> None:
    """Two batches are accumulated, so the step counter moves with every second one."""
    looked = []
    for batch_idx in range(8):
        trainer = Mock(lightning.Trainer, accumulate_grad_batches=2, global_step=(batch_idx + 1) // 2)
        looked.append(
            (is_due(trainer, batch_idx, every_n_steps=2), is_due(trainer, batch_idx, every_n_steps=0))
        )
    assert [due for due, _ in looked] == [False, False, False, True, False, False, False, True]
    assert not any(never for _, never in looked)
