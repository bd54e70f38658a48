"""Which rank the others wait for: times of each rank, gathered rarely."""

from __future__ import annotations

import socket
import statistics
import time
import warnings
from typing import Any, NamedTuple, Protocol, runtime_checkable

import lightning
import torch
from torch import nn

from omni.callbacks.agreement import told_by_all
from omni.callbacks.telemetry import Telemetry, log_once
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain

MEASURED = 10
"""Steps before each report whose forward passes are measured: on CUDA the host waits for their end."""


@runtime_checkable
class TimesItsFetching(Protocol):
    """A training loader that measures how long it was waited for."""

    waited: float
    """Seconds, since it was made."""


class Times(NamedTuple):
    """Seconds of a step, on the mean of those since the last report."""

    host: str
    step: float
    forward: float
    """In forward passes of the model: with DDP no other rank is waited for in there."""
    data: float
    """Waiting for batches."""


class Stragglers(Telemetry):
    """Logs ``ranks/...`` every so many steps, and warns once of each rank that keeps the others waiting.

    Ranks end their steps together, so a step's time says nothing of a rank. Its forward passes and its waiting for
    data do. (With sharded weights forward passes wait, too: then compare ``data`` alone.)
    """

    def __init__(self, every_n_steps: int = 100, slower: float = 1.3, waiting: float = 0.1) -> None:
        """
        Args:
            every_n_steps: steps between two reports; 0 for none.
            slower: times the median rank's forward time that a rank may take (of two ranks, the faster one's).
            waiting: share of the step that a rank may wait for data.

        Raises:
            ValueError: a setting is out of range.
        """
        super().__init__(every_n_steps)
        if slower <= 1 or not 0 < waiting <= 1:
            raise ValueError(
                f"stragglers.slower must be above 1 and stragglers.waiting in (0, 1], got {slower} and {waiting}"
            )
        self.slower, self.waiting = slower, waiting
        self.warned: set[str] = set()
        """What is the matter, by rank, until it no longer is."""
        self._began = self._forward = 0.0
        self._steps = self._measured = 0
        """Since the last report; with their forward passes measured."""
        self._since: tuple[float, float] | None = None
        """Clock, and the loader's waiting, at the last report."""

    def _measuring(self, step: int) -> bool:
        return self.every_n_steps > 0 and -step % self.every_n_steps < MEASURED

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """A forward pass begins."""
        if self._measuring(trainer.global_step + 1):
            assert isinstance(pl_module, Pretrain)
            self._hook = pl_module.model.register_forward_hook(self._forwarded)
            self._began = time.perf_counter()

    def _forwarded(self, model: nn.Module, inputs: Any, output: Any) -> None:
        """It has ended; losses come behind it, and with them sums over ranks."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._forward += time.perf_counter() - self._began
        self._hook.remove()

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """Count, and report where it is time. The first step, in which much is set up, is left out."""
        self._steps += 1
        self._measured += self._measuring(trainer.global_step)
        if self._since is None:
            self._restart(trainer)
        super().step_ended(trainer, module, batch)

    def _restart(self, trainer: lightning.Trainer) -> None:
        self._since = time.perf_counter(), waited(trainer)
        self._steps = self._measured = 0
        self._forward = 0.0

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Gather the times of all ranks; log and warn on rank 0."""
        assert self._since is not None
        if self._steps:
            now, before = (time.perf_counter(), waited(trainer)), self._since
            step, data = ((one - other) / self._steps for one, other in zip(now, before, strict=True))
            ranks = told_by_all(
                trainer, Times(socket.gethostname(), step, self._forward / self._measured, data)
            )
            if trainer.is_global_zero:
                self.report(trainer, ranks)
        self._restart(trainer)

    def report(self, trainer: lightning.Trainer, ranks: list[Times]) -> None:
        """Log the medians and the extremes, and warn of what has newly come to be."""
        figures = {
            "step_seconds": statistics.median_low(rank.step for rank in ranks),
            "forward_seconds": statistics.median_low(rank.forward for rank in ranks),
            "forward_seconds_slowest": max(rank.forward for rank in ranks),
            "data_seconds": statistics.median_low(rank.data for rank in ranks),
            "data_seconds_slowest": max(rank.data for rank in ranks),
        }
        log_once(trainer, {f"ranks/{name}": value for name, value in figures.items()})
        told = self.complaints(ranks)
        new = [told[name] for name in told if name not in self.warned]
        self.warned = set(told)
        if new:
            warnings.warn(f"stragglers, at step {trainer.global_step}: " + "; ".join(new), stacklevel=2)

    def complaints(self, ranks: list[Times]) -> dict[str, str]:
        """What is the matter with which rank, in words."""
        forward = statistics.median_low(rank.forward for rank in ranks)
        told = {}
        for number, rank in enumerate(ranks):
            if rank.forward > self.slower * forward:
                told[f"{number} forward"] = (
                    f"rank {number} ({rank.host}) takes {rank.forward:.3g} s for the forward passes of a step, "
                    f"the median rank {forward:.3g} s"
                )
            if rank.data > self.waiting * rank.step:
                told[f"{number} data"] = (
                    f"rank {number} ({rank.host}) waits {rank.data:.3g} s of {rank.step:.3g} s a step for data"
                )
        return told


def waited(trainer: lightning.Trainer) -> float:
    """Seconds that the loader was waited for so far; 0 where it doesn't measure."""
    loader: Any = trainer.train_dataloader
    return loader.waited if isinstance(loader, TimesItsFetching) else 0.0
