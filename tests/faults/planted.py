"""What goes wrong at one step, on one rank: for runs of the real ``omni fit``, and for those in this process."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import lightning
import torch

from omni.sequence import OmniBatch

FOR_EVER = 3600.0


class Planted(lightning.Callback):
    """Does its harm while a step is worked on (counted from 1)."""

    def __init__(self, kind: str, step: int, rank: int = 0, until: int = 0) -> None:
        """
        Args:
            kind: a method of this class.
            step: the step.
            rank: whose batch or process it is.
            until: last step, where it goes on.
        """
        self.kind, self.step, self.until, self.rank = kind, step, max(step, until), rank

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        if self.step <= trainer.global_step + 1 <= self.until and trainer.global_rank == self.rank:
            getattr(self, self.kind)(batch)

    def nan(self, batch: OmniBatch) -> None:
        """A value that is no number, in the first picture."""
        batch.patches[0, 0] = torch.nan

    def spike(self, batch: OmniBatch) -> None:
        """Pictures that are far too bright."""
        batch.patches.mul_(1e3)

    def term(self, batch: OmniBatch) -> None:
        """As a scheduler does, to this process."""
        os.kill(os.getpid(), signal.SIGTERM)

    def usr1_to_all(self, batch: OmniBatch) -> None:
        """As SLURM does, to all processes of the job, workers among them; then a second signal."""
        os.killpg(0, signal.SIGUSR1)
        os.killpg(0, signal.SIGTERM)

    def kill(self, batch: OmniBatch) -> None:
        """As the system does when memory is short."""
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self, batch: OmniBatch) -> None:
        """Waits for ever."""
        time.sleep(FOR_EVER)

    def dawdle(self, batch: OmniBatch) -> None:
        """Takes longer than the others."""
        time.sleep(0.5)


class Snapshots(lightning.Callback):
    """Weights, routing biases and state of the optimizer behind each step."""

    def __init__(self) -> None:
        self.behind: dict[int, dict[str, Any]] = {}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        (optimizer,) = trainer.optimizers
        state = optimizer.state_dict()["state"]
        moments = {f"{n}.{k}": v.clone() for n, one in state.items() for k, v in one.items()}
        weights = {name: tensor.clone() for name, tensor in pl_module.state_dict().items()}
        self.behind[trainer.global_step] = weights | moments


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Names of what isn't equal to the last bit."""
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}
