"""Pretraining (and supervised fine-tuning: the same module on other data) as a LightningModule."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import lightning
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from omni.checkpoint import CHECKPOINT_KEY, describe, vocabulary_of
from omni.losses import Losses, compute_losses, corrupt_inputs
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig
from omni.nn.noise import Noise
from omni.nn.weightless import is_weightless, weightless
from omni.optim.build import build_optimizer
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch
from omni.tokenizers.bundle import Tokenizers
from omni.training.compiling import CompileConfig, compile_parts
from omni.training.gradients import GradientNorms
from omni.training.means import Means
from omni.training.process_group import leave_at_exit
from omni.training.start import start_from
from omni.training.towers import require_learnt, take_towers

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class Pretrain(lightning.LightningModule):
    """Trains the unified transformer on text, image and audio targets together."""

    network_kind: type[OmniTransformer] = OmniTransformer
    """What is trained; stages that add a head have a kind of their own."""
    balances = True
    """Whether the routers' biases move with their load."""

    def __init__(
        self,
        tokenizers: str,
        network: ModelConfig = ModelConfig(),  # noqa: B008 (frozen)
        optim: OptimConfig = OptimConfig(),  # noqa: B008 (frozen)
        seed: int = 0,
        init_from: str | None = None,
        compile: CompileConfig = CompileConfig(),  # noqa: B008 (frozen)
        draw_sharded: bool = False,
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
            draw_sharded: take no memory for weights before ``omni.parallel.strategy.OmniStrategy`` has shared them
                out, for models that no process could hold. The weights are the same either way.
            towers_from: checkpoint whose encoders' towers to start from, for ``network.encoders``; projectors and
                decoder begin anew.
        """
        super().__init__()
        optim.check_with(network)
        self.tokenizers = Tokenizers.load(tokenizers)
        self.optim_config, self.compile_config, self.seed = optim, compile, seed
        require_learnt(network.encoders, init_from, towers_from)
        self.init_from, self.towers_from = init_from, towers_from
        with weightless() if draw_sharded else nullcontext():
            self.model = self.network_kind(network, vocabulary_of(self.tokenizers))
        if not draw_sharded:
            self.draw_weights()
        self.trained: Means | None = None
        """Losses of the step that is being worked on."""
        self.losses: Losses | None = None
        """Of the latest training batch, for callbacks; detached."""
        self.gradients_asked = False
        """Set by a callback that wants ``gradient_norms`` of the step that is being worked on."""
        self.gradient_norms: dict[str, Tensor] = {}
        """Of the latest step for which they were asked, before clipping, by part of the model."""
        self._measured: GradientNorms | None = None
        self._skipped = False

    def draw_weights(self) -> None:
        """Give the model the weights that a run starts from."""
        self.model.initialise(self.seed)
        if self.init_from is not None:
            start_from(self.model, self.init_from, self.tokenizers, self.model.added)
        if self.towers_from is not None:
            take_towers(self.model, self.tokenizers, self.towers_from)

    def training_step(self, batch: OmniBatch, batch_idx: int) -> Tensor:
        """Loss of one batch; Lightning averages over batches and ranks, so their number is put back."""
        noise = Noise.of_rows(batch, self.seed)
        hidden = self.model(corrupt_inputs(batch, self.model, noise))
        losses = compute_losses(self.model, hidden, batch, noise)
        self.losses = replace(losses, total=losses.total.detach())
        self._tell(self.losses, batch_idx)
        return losses.total * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def on_validation_epoch_start(self) -> None:
        """Start counting, for each set of validation data."""
        loaders = self.trainer.val_dataloaders
        self.validated_as = [f"val/{name}" for name in loaders] if isinstance(loaders, dict) else ["val"]
        self.validated = Means(self.device, len(self.validated_as))

    def validation_step(self, batch: OmniBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the clean losses; the flow noise of a document is always the same."""
        losses = compute_losses(self.model, self.model(batch), batch)
        self.validated.add(losses, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means over the batches of all ranks."""
        for prefix, means in zip(self.validated_as, self.validated.take(self._over_ranks), strict=True):
            for name, mean in means.items():
                self.log(f"{prefix}/{name}", mean, prog_bar=True)

    def _tell(self, losses: Losses, batch_idx: int) -> None:
        """Log the losses of a step behind its last batch: those of all its batches, on all ranks."""
        if self.trained is None:
            self.trained = Means(self.device)
        self.trained.add(losses)
        if (batch_idx + 1) % self.trainer.accumulate_grad_batches:
            return
        for name, mean in self.trained.take(self._over_ranks)[0].items():
            self.log(f"train/{name}", mean, prog_bar=True, on_step=True)

    def _over_ranks(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")

    def measure_gradients(self, optimizer: Optimizer) -> GradientNorms:
        """Norms of the step's gradients before clipping, which then uses them: nothing is measured twice."""
        if self._measured is None:
            self._measured = GradientNorms.of(self.trainer.precision_plugin.main_params(optimizer))
        return self._measured

    def skip_step(self) -> None:
        """Drop the step that is being worked on: no weight, moment or routing bias moves. Schedule and data go on.

        Ask before clipping (``on_before_optimizer_step``), on all ranks alike.
        """
        self._skipped = True
        self.zero_grad(set_to_none=True)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does; where the gradients have been measured already, by these norms."""
        if self.gradients_asked:
            self.gradients_asked = False
            self.gradient_norms = self.measure_gradients(optimizer).by_part(self.model)
        measured, self._measured = self._measured, None
        if self._skipped:
            return
        if measured is not None and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            measured.clip(gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the routers' balance by the load of the whole step, unless that was skipped."""
        super().optimizer_step(*args, **kwargs)
        skipped, self._skipped = self._skipped, False
        for router in self.model.routers() if self.balances else ():
            if skipped:
                router.load.zero_()
            else:
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
                to compile with; weights that nobody would draw.
        """
        if self.trainer.precision not in PRECISIONS:
            raise ValueError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {self.trainer.precision!r}: "
                f"weights, router and targets stay in fp32"
            )
        if is_weightless(self.model) and not isinstance(self.trainer.strategy, ModelParallelStrategy):
            raise ValueError(
                f"model.draw_sharded needs trainer.strategy omni.parallel.strategy.OmniStrategy, which draws the "
                f"weights, got {type(self.trainer.strategy).__name__}"
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
