"""Steps that would harm the run are skipped on all ranks, before the optimizer moves."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer

from omni.callbacks.agreement import summed, told_by_all
from omni.callbacks.divergence import DivergenceError
from omni.callbacks.spikes import SpikeWindow
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain

SKIPPED_FILE = "skipped_steps.jsonl"
"""In the run's folder: a line for each skipped step, with its batches and their documents."""
SHOWN_DOCUMENTS = 8


class Guards(lightning.Callback):
    """Skips steps whose loss or gradient norm isn't finite, or is a spike (``spikes.py``), up to a budget.

    The loss is that of the whole step, weighted as it is trained on, the norm that of all gradients before clipping.
    Both are added up over the ranks, so all of them decide alike. A skipped step counts as a step: schedule and data
    go on; weights, moments and routing biases stay. Where nothing is skipped, training is the same to the last bit.
    """

    def __init__(
        self,
        enabled: bool = True,
        deviations: float | None = 6.0,
        window: int = 128,
        most_skipped: int = 10,
        within_steps: int = 1000,
    ) -> None:
        """
        Args:
            enabled: false for no guards at all.
            deviations: standard deviations above the mean of the window that a finite figure may have; with null
                only what isn't finite is skipped.
            window: steps that a step is compared with; nothing is judged before half of them.
            most_skipped: steps that may be skipped among ``within_steps``; one more ends the run.
            within_steps: see there.

        Raises:
            ValueError: a setting is out of range.
        """
        for name, value, least in (
            ("window", window, 4),
            ("most_skipped", most_skipped, 0),
            ("within_steps", within_steps, 1),
        ):
            if value < least:
                raise ValueError(f"guards.{name} must be at least {least}, got {value}")
        if deviations is not None and deviations <= 0:
            raise ValueError(f"guards.deviations must be positive, or null for none, got {deviations}")
        self.enabled, self.most_skipped, self.within_steps = enabled, most_skipped, within_steps
        allowed = math.inf if deviations is None else deviations
        self.windows = {name: SpikeWindow(window, allowed) for name in ("loss", "gradient norm")}
        self.skipped: list[int] = []
        """Steps that were skipped, counted from 1."""
        self._batches: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        """Documents and rows of this rank's batches of the step."""
        self._losses: list[Tensor] = []

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Note whose batch it is."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._batches, self._losses = [], []
        self._batches.append((batch.keys, batch.row_numbers))

    def on_after_backward(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the loss."""
        assert isinstance(pl_module, Pretrain) and pl_module.losses is not None
        self._losses.append(pl_module.losses.total)

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        """Judge the step.

        Raises:
            DivergenceError: more steps had to be skipped than the budget has.
        """
        if not self.enabled:
            return
        assert isinstance(pl_module, Pretrain)
        total = pl_module.measure_gradients(optimizer).total
        figures = torch.stack([torch.stack(self._losses).sum().to(total), total / trainer.world_size])
        loss, norm = summed(trainer, figures)
        if reasons := self._reasons(loss, norm, scaled=trainer.precision == "16-mixed"):
            pl_module.skip_step()
            self._skip(trainer, "; ".join(reasons), {"loss": loss, "gradient_norm": norm})

    def _reasons(self, loss: float, norm: float, scaled: bool) -> list[str]:
        """What is wrong with the step; nothing most of the time."""
        if scaled and math.isfinite(loss) and not math.isfinite(norm):
            return []  # overflow is how the loss scale is found; the scaler skips such a step by itself
        reasons = []
        for (name, window), value in zip(self.windows.items(), (loss, norm), strict=True):
            if spike := window.judge(value):
                above = f", above {spike.limit:.4g}" if math.isfinite(value) else ""
                reasons.append(f"the {name} is {value:.4g}{above}")
        return reasons

    def _skip(self, trainer: lightning.Trainer, reasons: str, figures: dict[str, float]) -> None:
        step = trainer.global_step + 1
        self.skipped.append(step)
        recent = sum(earlier > step - self.within_steps for earlier in self.skipped)
        batches = [batch for rank in told_by_all(trainer, self._own_batches(trainer)) for batch in rank]
        message = f"{reasons} at step {step}, {worst(batches)}"
        spent = f"{recent} of the last {self.within_steps} steps"
        if trainer.is_global_zero:
            write_line(trainer, {"step": step, "reasons": reasons, **figures, "batches": batches})
            for logger in trainer.loggers:
                logger.log_metrics(
                    {"guards/skipped_steps": float(len(self.skipped))}, step=trainer.global_step
                )
        if recent > self.most_skipped:
            raise DivergenceError(
                f"{message}. {spent} would be skipped, guards.most_skipped allows {self.most_skipped}. "
                f"{go_on_from(trainer)} (docs/reliability.md)"
            )
        if trainer.is_global_zero:
            warnings.warn(
                f"{message}; the step is skipped ({spent}, {self.most_skipped} allowed)", stacklevel=2
            )

    def _own_batches(self, trainer: lightning.Trainer) -> list[dict[str, Any]]:
        return [
            {"rank": trainer.global_rank, "loss": loss.item(), "rows": rows, "documents": keys}
            for (keys, rows), loss in zip(self._batches, self._losses, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run decides as an uninterrupted one."""
        windows = {name: list(window.recent) for name, window in self.windows.items()}
        return {"windows": windows, "skipped": list(self.skipped)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.skipped = list(state_dict["skipped"])
        for name, recent in state_dict["windows"].items():
            self.windows[name].recent.clear()
            self.windows[name].recent.extend(recent)


def write_line(trainer: lightning.Trainer, line: dict[str, Any]) -> None:
    """Add a line to ``SKIPPED_FILE``; figures that JSON doesn't know are strings there."""
    path = Path(trainer.default_root_dir) / SKIPPED_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(json.dumps(line), parse_constant=str)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(known) + "\n")


def worst(batches: list[dict[str, Any]]) -> str:
    """Which batch of the step has the highest loss, or one that is no number, and its first documents."""
    batch = max(batches, key=lambda one: one["loss"] if math.isfinite(one["loss"]) else math.inf)
    documents = batch["documents"]
    shown = ", ".join(documents[:SHOWN_DOCUMENTS]) or "unknown"
    more = len(documents) - SHOWN_DOCUMENTS
    shown += f" and {more} more" if more > 0 else ""
    return f"most of it on rank {batch['rank']}, with loss {batch['loss']:.4g}, documents {shown}"


def go_on_from(trainer: lightning.Trainer) -> str:
    """The advice that names the last checkpoint. Skipped steps moved nothing, so every one of them is good."""
    saved = trainer.checkpoint_callbacks
    paths = [one.best_model_path for one in saved if isinstance(one, ModelCheckpoint) and one.best_model_path]
    return f"The last checkpoint is {paths[0]}" if paths else "No checkpoint was saved"
