"""Pretraining (and supervised fine-tuning: the same module on other data) as a LightningModule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from omni.checkpoint import CHECKPOINT_KEY, describe, load_model, take_weights, vocabulary_of
from omni.losses import Losses, compute_losses, corrupt_inputs, loss_names
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig
from omni.nn.noise import Noise
from omni.optim.build import build_optimizer
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch
from omni.tokenizers.bundle import Tokenizers
from omni.training.compiling import CompileConfig, compile_parts
from omni.training.gradients import GradientNorms
from omni.training.process_group import leave_at_exit
from omni.training.towers import require_learnt, take_towers

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class Pretrain(lightning.LightningModule):
    """Trains the unified transformer on text, image and audio targets together."""

    def __init__(
        self,
        tokenizers: str,
        network: ModelConfig = ModelConfig(),  # noqa: B008 (frozen)
        optim: OptimConfig = OptimConfig(),  # noqa: B008 (frozen)
        seed: int = 0,
        init_from: str | None = None,
        compile: CompileConfig = CompileConfig(),  # noqa: B008 (frozen)
        towers_from: str | None = None,
    ) -> None:
        """
        Args:
            tokenizers: folder of the tokenizers; they fix vocabulary, patch size and codebooks.
            network: sizes of the model.
            optim: optimizer and schedule.
            seed: draws the weights and all noise of training.
            init_from: checkpoint whose weights to start from (fine-tuning); its step, optimizer and place in the
                data are not taken. ``--ckpt_path`` resumes a run instead.
            compile: parts of the network that ``torch.compile`` makes faster.
            towers_from: checkpoint whose encoders' towers to start from, for ``network.encoders``; projectors and
                decoder begin anew.
        """
        super().__init__()
        optim.check_with(network)
        self.tokenizers = Tokenizers.load(tokenizers)
        self.optim_config, self.compile_config, self.seed = optim, compile, seed
        self.model = OmniTransformer(network, vocabulary_of(self.tokenizers))
        self.model.initialise(seed)
        if init_from is not None:
            self._take_weights(init_from)
        if towers_from is not None:
            take_towers(self.model, self.tokenizers, towers_from)
        require_learnt(network.encoders, init_from, towers_from)
        self.losses: Losses | None = None
        """Of the latest training batch, for callbacks; detached."""
        self.gradients_asked = False
        """Set by a callback that wants ``gradient_norms`` of the step that is being worked on."""
        self.gradient_norms: dict[str, Tensor] = {}
        """Of the latest step for which they were asked, before clipping, by part of the model."""

    def _take_weights(self, path: str) -> None:
        model, tokenizers = load_model(path)
        if tokenizers.files() != self.tokenizers.files():
            raise ValueError(f"{path}: made with other tokenizers than data.tokenizers")
        take_weights(self.model, model.state_dict(), path, "model.network")

    def training_step(self, batch: OmniBatch, batch_idx: int) -> Tensor:
        """Loss of one batch; Lightning averages over batches and ranks, so their number is put back."""
        noise = Noise.of_rows(batch, self.seed)
        hidden = self.model(corrupt_inputs(batch, self.model, noise))
        losses = compute_losses(self.model, hidden, batch, noise)
        self.losses = replace(losses, total=losses.total.detach())
        self._log("train", losses)
        return losses.total * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def on_validation_epoch_start(self) -> None:
        """Start counting, for each set of validation data."""
        loaders = self.trainer.val_dataloaders
        self.validated_as = [f"val/{name}" for name in loaders] if isinstance(loaders, dict) else ["val"]
        shape = len(self.validated_as), 2, len(loss_names())
        self.validated = torch.zeros(shape, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: OmniBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the clean losses; the flow noise of a document is always the same."""
        losses = compute_losses(self.model, self.model(batch), batch)
        self.validated[dataloader_idx] += torch.stack([losses.sums_M.double(), losses.counts_M.double()])

    def on_validation_epoch_end(self) -> None:
        """Log the means over the batches of all ranks."""
        validated = self.trainer.strategy.reduce(self.validated, reduce_op="sum")
        for prefix, (sums_M, counts_M) in zip(self.validated_as, validated, strict=True):
            for name, total, count in zip(loss_names(), sums_M, counts_M, strict=True):
                if count:
                    self.log(f"{prefix}/{name}", total / count, prog_bar=True)

    def _log(self, stage: str, losses: Losses) -> None:
        means = losses.sums_M / losses.counts_M.clamp(min=1)
        step = stage == "train"
        for name, mean, count in zip(loss_names(), means, losses.counts_M, strict=True):
            if count:
                self.log(f"{stage}/{name}", mean, batch_size=int(count), prog_bar=True, on_step=step)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does; where the norms by part were asked for, measure them in the same pass."""
        if not self.gradients_asked:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        self.gradients_asked = False
        norms = GradientNorms.of(self.trainer.precision_plugin.main_params(optimizer))
        self.gradient_norms = norms.by_part(self.model)
        if gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            norms.clip(gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the routers' balance by the load of the whole step."""
        super().optimizer_step(*args, **kwargs)
        for router in self.model.routers():
            router.balance()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, with a schedule per step.

        Raises:
            ValueError: a schedule that decays towards an end, and no end.
        """
        steps, config = self.trainer.max_steps, self.optim_config
        if steps <= 0 and config.schedule != "constant":
            raise ValueError(
                f"trainer.max_steps must be positive with model.optim.schedule {config.schedule}, which decays "
                f"towards it, got {steps}"
            )
        optimizer, schedule = build_optimizer(self.model, config, steps, self.model.config.width_ratio)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def setup(self, stage: str) -> None:
        """
        Compile what is to be compiled, and see to it that a process group is left in the end.

        Raises:
            ValueError: a precision in which the router's counts and the flow's time would be too coarse; nothing
                to compile with.
        """
        if self.trainer.precision not in PRECISIONS:
            raise ValueError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {self.trainer.precision!r}: "
                f"weights, router and targets stay in fp32"
            )
        leave_at_exit()
        if stage == "fit":
            compile_parts(self.model, self.compile_config, self.trainer.strategy.root_device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """
        Raises:
            ValueError: a checkpoint of a run with other tokenizers, whose ids mean something else.
        """
        kept = checkpoint[CHECKPOINT_KEY]["tokenizers"]
        now = self.tokenizers.files()
        if other := sorted(name for name in kept.keys() | now.keys() if kept.get(name) != now.get(name)):
            raise ValueError(f"data.tokenizers are not those of the checkpoint: {', '.join(other)} differ")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put configuration and tokenizers beside the weights: the checkpoint works alone."""
        checkpoint[CHECKPOINT_KEY] = describe(self.model.config, self.tokenizers)
