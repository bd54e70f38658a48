"""Alarms for a run that is about to diverge, which name the modality and the layer or head."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Any, Literal

import lightning
from torch import nn

from omni.callbacks.bands import Band, BandConfig, Excursion
from omni.callbacks.logits import head_squares
from omni.callbacks.readings import Reading, Sums, gradient_readings
from omni.callbacks.telemetry import log_once
from omni.callbacks.watching import Watching
from omni.modality import MODALITIES
from omni.model import OmniTransformer
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain

SHOWN_DOCUMENTS = 8


class DivergenceError(ValueError):
    """The run was stopped by an alarm; ``last.ckpt`` is of a step before."""


class DriftAlarms(Watching):
    """Follows losses, gradients, hidden states and outputs by modality; warns once per episode, or stops the run.

    Every ``every_n_steps`` the figures of the whole step (all batches, all ranks) are logged as ``drift/...`` and
    held against their bands (``bands.py``). Whether losses are finite is asked at every batch.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        action: Literal["warn", "stop"] = "warn",
        band: BandConfig = BandConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none, which leaves the check for losses that aren't finite.
            action: warn and go on, or end the run with an error before the step is saved.
            band: what is taken for normal.
        """
        super().__init__(every_n_steps)
        self.action, self.band = action, band
        self.bands: dict[str, Band] = {}
        self.broken: set[str] = set()
        """Modalities whose latest loss is not finite."""
        self._sums: Sums | None = None

    def parts(self, model: OmniTransformer) -> Seq[nn.Module]:
        """The blocks, and the norm in front of the heads."""
        return [*model.blocks, model.norm]

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Ask for gradient norms, and start summing, where the step is due."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if self.due(trainer):
            assert isinstance(pl_module, Pretrain)
            pl_module.gradients_asked = True
            if self._sums is None:
                self._sums = Sums(len(pl_module.model.blocks), batch.modality.device)

    def see(self, part: int, output: Any, batch: OmniBatch, model: OmniTransformer) -> None:
        """Add up the stream behind a layer, and what the heads make of the last."""
        assert self._sums is not None
        if part < len(model.blocks):
            self._sums.add_layer(part, output[0], batch)
        else:
            self._sums.add_outputs(head_squares(model, output, batch))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Ask whether the losses are finite, then look where it is time.

        Raises:
            DivergenceError: something is out of its band, and ``action`` is ``stop``.
        """
        assert isinstance(pl_module, Pretrain) and pl_module.losses is not None
        step = trainer.global_step + bool((batch_idx + 1) % trainer.accumulate_grad_batches)
        self._check_finite(
            pl_module.losses.sums_M.tolist(), batch, f"at step {step}, on rank {trainer.global_rank}"
        )
        if self._sums is not None:
            self._sums.add_losses(pl_module.losses)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _check_finite(self, sums: list[float], batch: OmniBatch, where: str) -> None:
        for modality, total in zip(MODALITIES, sums, strict=True):
            if math.isfinite(total):
                self.broken.discard(modality.name)
            elif modality.name not in self.broken:
                self.broken.add(modality.name)
                shown = ", ".join(batch.keys[:SHOWN_DOCUMENTS])
                more = len(batch.keys) - SHOWN_DOCUMENTS
                documents = f"{shown} and {more} more" if more > 0 else shown
                self._alarm(
                    f"the loss of {modality.name} is {total} {where}; documents of the batch: {documents or 'unknown'}"
                )

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Judge and log the step that has just ended."""
        assert isinstance(module, Pretrain) and self._sums is not None
        sums, self._sums = self._sums, None
        sums.sums = trainer.strategy.reduce(sums.sums, reduce_op="sum")
        gradients = list(gradient_readings(module.gradient_norms))
        if (
            trainer.precision == "16-mixed"
        ):  # overflow is how the loss scale is found; such a step is not taken
            gradients = [reading for reading in gradients if math.isfinite(reading.value)]
        readings = [*sums.readings(), *gradients]
        excursions = self.judge(readings, trainer.global_step)
        scalars = {f"drift/{reading.name}": reading.value for reading in readings}
        alarmed = sum(band.alarmed for band in self.bands.values())
        log_once(trainer, {**scalars, "drift/alarms": float(alarmed)})
        if excursions and (self.action == "stop" or trainer.is_global_zero):
            self._alarm(f"at step {trainer.global_step}: " + "; ".join(excursions))

    def judge(self, readings: Iterable[Reading], step: int) -> list[str]:
        """What has just left its band, in words. Figures that are 0 (a head without targets) say nothing."""
        told = []
        for reading in readings:
            if reading.value == 0:
                continue
            if reading.name not in self.bands:
                self.bands[reading.name] = Band(self.band, getattr(self.band, reading.kind))
            excursion = self.bands[reading.name].judge(reading.value, step)
            if excursion is not None:
                told.append(_told(reading, excursion))
        return told

    def _alarm(self, message: str) -> None:
        message = f"drift alarm, {message}"
        if self.action == "stop":
            raise DivergenceError(f"{message}. Go on from a checkpoint before it (docs/telemetry.md)")
        warnings.warn(message, stacklevel=2)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run has the same bands."""
        bands = {name: band.state() for name, band in self.bands.items()}
        return {"bands": bands, "broken": sorted(self.broken)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.broken = set(state_dict["broken"])
        for name, state in state_dict["bands"].items():
            kind = {"loss": self.band.loss, "gradient": self.band.gradient}.get(
                name.split("/")[0], self.band.norm
            )
            self.bands[name] = Band(self.band, kind)
            self.bands[name].load(state)


def _told(reading: Reading, excursion: Excursion) -> str:
    if not math.isfinite(excursion.value):
        return f"{reading.title} is {excursion.value}"
    if excursion.slow:
        return (
            f"{reading.title} has grown to {excursion.value:.4g} (median of the latest looks), more than "
            f"{excursion.limit:.4g}"
        )
    return (
        f"{reading.title} is {excursion.value:.4g}, outside its band up to {excursion.limit:.4g} "
        f"(median {excursion.median:.4g})"
    )
