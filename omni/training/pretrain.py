"""Pretraining (and supervised fine-tuning: the same module on other data) as a LightningModule."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from omni.checkpoint import CHECKPOINT_KEY, describe, vocabulary_of
from omni.losses import Losses, compute_losses, corrupt_inputs, loss_names
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig
from omni.nn.noise import Noise
from omni.optim import OptimConfig, build_optimizer
from omni.sequence import OmniBatch
from omni.tokenizers.bundle import Tokenizers


class Pretrain(lightning.LightningModule):
    """Trains the unified transformer on text, image and audio targets together."""

    def __init__(
        self,
        tokenizers: str,
        network: ModelConfig = ModelConfig(),  # noqa: B008 (frozen)
        optim: OptimConfig = OptimConfig(),  # noqa: B008 (frozen)
        seed: int = 0,
    ) -> None:
        """
        Args:
            tokenizers: folder of the tokenizers; they fix vocabulary, patch size and codebooks.
            network: sizes of the model.
            optim: optimizer and schedule.
            seed: draws the weights and all noise of training.
        """
        super().__init__()
        self.tokenizers = Tokenizers.load(tokenizers)
        self.optim_config, self.seed = optim, seed
        self.model = OmniTransformer(network, vocabulary_of(self.tokenizers))
        self.model.initialise(seed)
        self.chosen_experts: list[Tensor] = []
        """Of the latest training batch, for telemetry: (N, T) per layer."""

    def training_step(self, batch: OmniBatch, batch_idx: int) -> Tensor:
        """Loss of one batch; Lightning averages over batches and ranks, so their number is put back."""
        noise = Noise.of_rows(batch, self.seed)
        hidden = self.model(corrupt_inputs(batch, self.model, noise))
        losses = compute_losses(self.model, hidden, batch, noise)
        self.chosen_experts = [routing.experts_NT for routing in hidden.routing]
        self._log("train", losses)
        return losses.total * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def validation_step(self, batch: OmniBatch, batch_idx: int) -> None:
        """Log the clean losses; the flow noise of a document is always the same."""
        self._log("val", compute_losses(self.model, self.model(batch), batch))

    def _log(self, stage: str, losses: Losses) -> None:
        means = losses.sums_M / losses.counts_M.clamp(min=1)
        step = stage == "train"
        for name, mean, count in zip(loss_names(), means, losses.counts_M, strict=True):
            if count:
                self.log(f"{stage}/{name}", mean, batch_size=int(count), prog_bar=True, on_step=step)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the routers' balance by the load of the whole step."""
        super().optimizer_step(*args, **kwargs)
        for router in self.model.routers():
            router.balance()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with a schedule per step."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = build_optimizer(self.model, self.optim_config, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put configuration and tokenizers beside the weights: the checkpoint works alone."""
        checkpoint[CHECKPOINT_KEY] = describe(self.model.config, self.tokenizers)
