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
from omni.callbacks.divergence import DivergenceError
from omni.callbacks.logits import head_squares
from omni.callbacks.readings import Reading, Sums, gradient_readings
from omni.callbacks.telemetry import log_once
from omni.callbacks.watching import Watching
from omni.model import OmniTransformer
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain


class DriftAlarms(Watching):
    """Follows losses, gradients, hidden states and outputs by modality; warns once per episode, or stops the run.

    Every ``every_n_steps`` the figures of the whole step (all batches, all ranks) are logged as ``drift/...`` and
    held against their bands (``bands.py``). Whether losses are finite is asked at every step by ``Guards``.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        action: Literal["warn", "stop"] = "warn",
        band: BandConfig = BandConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
            action: warn and go on, or end the run with an error before the step is saved.
            band: what is taken for normal.
        """
        super().__init__(every_n_steps)
        self.action, self.band = action, band
        self.bands: dict[str, Band] = {}
        self._sums: Sums | None = None

    def parts(self, model: OmniTransformer) -> Seq[nn.Module]:
        """The blocks, and the norm in front of the heads."""
        return [*model.blocks, model.norm]

    def batch_begins(self, module: Pretrain) -> None:
        """Ask for gradient norms, and start summing."""
        module.gradients_asked = True
        if self._sums is None:
            self._sums = Sums(len(module.model.blocks), module.device)

    def see(self, part: int, output: Any, batch: OmniBatch, model: OmniTransformer) -> None:
        """Add up the stream behind a layer, and what the heads make of the last."""
        assert self._sums is not None
        if part < len(model.blocks):
            self._sums.add_layer(part, output[0], batch)
        else:
            self._sums.add_outputs(head_squares(model, output, batch))

    def batch_ended(self, module: Pretrain) -> None:
        """Add up the losses."""
        assert self._sums is not None and module.losses is not None
        self._sums.add_losses(module.losses)

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Judge and log the step that has just ended.

        Raises:
            DivergenceError: something is out of its band, and ``action`` is ``stop``.
        """
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
            message = f"drift alarm, at step {trainer.global_step}: " + "; ".join(excursions)
            if self.action == "stop":
                raise DivergenceError(f"{message}. Go on from a checkpoint before it (docs/telemetry.md)")
            warnings.warn(message, stacklevel=2)

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

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run has the same bands."""
        return {"bands": {name: band.state() for name, band in self.bands.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
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
