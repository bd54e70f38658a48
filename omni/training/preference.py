"""What learning from preferences has in common: a loss for each pair, and its figures by modality of the answer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omni.losses import Losses
from omni.modality import MODALITIES
from omni.preference import PairBatch
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain
from omni.training.tally import Tally


@dataclass(frozen=True, eq=False)
class Compared:
    """What a stage makes of the pairs of a batch."""

    losses: Float[Tensor, " pairs"]
    """Nats of each; to be differentiated."""
    figures: dict[str, Float[Tensor, " _"]]
    """Values of each pair by name; where each answer has one, first those of the chosen answers."""


class Preference(Pretrain):
    """Trains on pairs. The loss is the mean over the pairs of the optimizer step, whatever ranks and rows hold them.

    Inputs aren't corrupted, and routers keep their biases: what changes is what the gradient changes.
    """

    figures: tuple[str, ...] = ()
    """Names of the figures, besides ``loss``."""
    extremes: str | None = None
    """The figure that is also told by its extremes."""
    balances = False

    @abstractmethod
    def compare(self, batch: PairBatch) -> Compared:
        """Losses and figures of the pairs of a batch."""

    def training_step(self, batch: OmniBatch, batch_idx: int) -> Tensor:
        """Loss of one batch; Lightning averages over batches and ranks, so their number is put back."""
        assert isinstance(batch, PairBatch), type(batch)
        compared, answers = self.compare(batch), self._answers(batch)
        total = compared.losses.sum() / batch.targets.sum().clamp(min=1)
        self.losses = self._by_modality(compared.losses.detach(), answers, total.detach())
        tally = self._tally()
        tally.add(compared.figures | {"loss": compared.losses}, answers)
        for name, value in tally.readings().items():
            self.log(
                name,
                value,
                batch_size=max(1, len(answers)),
                on_step=True,
                prog_bar=name in ("loss", self.figures[0]),
            )
        return total * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def on_validation_epoch_start(self) -> None:
        """Start counting, for each set of validation data."""
        loaders = self.trainer.val_dataloaders
        self.validated_as = [f"val/{name}" for name in loaders] if isinstance(loaders, dict) else ["val"]
        self.tallies = [self._tally() for _ in self.validated_as]

    def validation_step(self, batch: OmniBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the figures of the pairs."""
        assert isinstance(batch, PairBatch), type(batch)
        compared = self.compare(batch)
        figures = compared.figures | {"loss": compared.losses}
        self.tallies[dataloader_idx].add(figures, self._answers(batch))

    def on_validation_epoch_end(self) -> None:
        """Log what the batches of all ranks come to."""
        for prefix, tally in zip(self.validated_as, self.tallies, strict=True):
            tables = self.all_gather(tally.table)
            assert isinstance(tables, Tensor)
            tally.merge(tables.view(-1, *tally.table.shape))
            for name, value in tally.readings().items():
                self.log(f"{prefix}/{name}", value, prog_bar=name in ("loss", self.figures[0]))

    def _tally(self) -> Tally:
        return Tally((*self.figures, "loss"), self.device, self.extremes)

    def _answers(self, batch: PairBatch) -> Tensor:
        return torch.tensor(batch.answers, dtype=torch.int64, device=self.device)

    def _by_modality(self, losses: Tensor, answers: Tensor, total: Tensor) -> Losses:
        """For callbacks, which watch losses by modality."""
        zero = total.new_zeros(())
        sums_M = losses.new_zeros(len(MODALITIES)).index_add(0, answers, losses)
        return Losses(total, sums_M, torch.bincount(answers, minlength=len(MODALITIES)), zero, zero)


def ends_of(batch: OmniBatch) -> Tensor:
    """Flat position of the last position of each document of ``batch.lengths``."""
    return torch.tensor(batch.lengths, device=batch.modality.device).cumsum(0) - 1


def require_start(init_from: str | None, stage: str) -> str:
    """
    Raises:
        ValueError: no checkpoint to start from.
    """
    if init_from is None:
        raise ValueError(
            f"model.init_from is missing: {stage} starts from the weights of a trained model, such as "
            f"runs/demo/checkpoints/last.ckpt"
        )
    return init_from
