"""What the callbacks count, and when they look."""

from __future__ import annotations

from unittest.mock import Mock

import lightning
import pytest

from omni.callbacks.telemetry import Telemetry
from omni.sequence import OmniBatch


class Looks(Telemetry):
    """Notes when it is called."""

    def __init__(self, every_n_steps: int) -> None:
        super().__init__(every_n_steps)
        self.looked: list[int] = []
        self.steps = 0

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        self.steps += 1
        super().step_ended(trainer, module, batch)

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        self.looked.append(trainer.global_step)


@pytest.mark.parametrize(("every_n_steps", "looked"), [(2, [2, 4]), (1, [1, 2, 3, 4]), (0, [])])
def test_callbacks_look_once_a_step(every_n_steps: int, looked: list[int]) -> None:
    """Two batches are accumulated, so the step counter moves with every second one."""
    looks = Looks(every_n_steps)
    module, batch = Mock(lightning.LightningModule), Mock(OmniBatch)
    for batch_idx in range(8):
        trainer = Mock(lightning.Trainer, accumulate_grad_batches=2, global_step=(batch_idx + 1) // 2)
        looks.on_train_batch_end(trainer, module, None, batch, batch_idx)
    assert (looks.looked, looks.steps) == (looked, 4)


def test_a_negative_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"every_n_steps must be 0 .* got -1"):
        Looks(-1)
