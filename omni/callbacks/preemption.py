"""A run that is asked to go (SIGTERM, SIGUSR1) saves within a step, on all ranks, and says that it wants back."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import warnings
from types import FrameType
from typing import Any

import lightning
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import Checkpoint

from omni.callbacks.agreement import highest
from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.steps import AfterSteps
from omni.sequence import OmniBatch
from omni.training.exit_codes import PREEMPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Preempted(SystemExit):
    """The run has saved and leaves with ``PREEMPTED``."""


class Preemption(AfterSteps, Checkpoint):
    """Notes the signal on whichever rank gets it; behind the step all ranks save, and leave with ``PREEMPTED``.

    It stands in for Lightning's handlers, which broadcast or save in the middle of a step. On SLURM the signal that
    Lightning requeues at (``SLURMEnvironment``, SIGUSR1 by default) requeues the job here, too. A ``Checkpoint``,
    because Lightning calls those behind all other callbacks, whose state is then complete.
    """

    def __init__(self, enabled: bool = True) -> None:
        """
        Args:
            enabled: false leaves signals to Lightning.
        """
        self.enabled = enabled
        self._asked: dict[int, bool] = {}
        """Signals that this process got; a handler may only set it."""
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take over the signals: Lightning has set its own handlers by now."""
        if self.enabled and threading.current_thread() is threading.main_thread():
            self._asked = {}
            signals = {int(number) for number in (*SIGNALS, requeue_signal(trainer)) if number is not None}
            self._before = {number: signal.signal(number, self._note) for number in signals}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked[number] = True

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """Leave where any rank was asked to.

        Raises:
            Preempted: all ranks have saved this step.
        """
        if not self.enabled:
            return
        requeue = requeue_signal(trainer)
        own = max((2 if number == requeue else 1 for number in self._asked), default=0)
        asked = highest(trainer, own)
        if not asked or trainer.global_step == trainer.max_steps:  # a run that is done ends as ever
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, Checkpoints):
                callback.on_train_end(trainer, module)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            print(
                f"omni: asked to go, saved at step {trainer.global_step}, exit code {PREEMPTED}", flush=True
            )
            if asked == 2:
                requeue_job()
        trainer.strategy.barrier()  # a launcher may end rank 0 when another has left
        raise Preempted(exit_code(trainer))

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._restore()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the signals back, before Lightning gives back what it has taken."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def exit_code(trainer: lightning.Trainer) -> int:
    """``PREEMPTED``, but 0 for a process that rank 0 has started itself: Lightning would kill rank 0 for it."""
    started_by_us = not trainer._accelerator_connector.cluster_environment.creates_processes_externally
    return 0 if started_by_us and trainer.local_rank else PREEMPTED


def requeue_signal(trainer: lightning.Trainer) -> int | None:
    """The signal at which a SLURM job is to be requeued; none elsewhere."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        return environment.requeue_signal
    return None


def requeue_job() -> None:
    """Have SLURM run this job again, with the same id; where it won't, a warning says so."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        failure = done.returncode and f"code {done.returncode}: {done.stderr.strip()}"
    except OSError as error:
        failure = str(error)
    if failure:
        warnings.warn(f"`scontrol requeue {job}` failed ({failure}): requeue the job yourself", stacklevel=2)
