"""Checkpoints while training goes on, and where it ends; a run may be killed at any moment, and go on elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import proxy

import lightning
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from omni.callbacks.progress import count_anew
from omni.parallel.checkpoint import rng
from omni.parallel.checkpoint.contents import expected_shapes, pack
from omni.parallel.checkpoint.names import give_numbers
from omni.parallel.checkpoint.plugin import FolderIO
from omni.parallel.checkpoint.saver import SaveError, Saver, Target
from omni.snapshot.folder import clean, find_last, remove

RUN_KEY, RNG_KEY = "run", "generators"
"""Entries of a checkpoint: which run it is of, and the states of the random generators of all ranks."""
SECONDS_AFTER_FAILURE = 60.0
"""How long a save that has begun is waited for when training has failed: other ranks may be gone."""


class Checkpoints(ModelCheckpoint):
    """Lightning's own times, other checkpoints: folders that all ranks write together, in the background.

    A checkpoint is there as a whole or not at all; ``last.ckpt`` names the newest one. The last step is saved, too.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        keep: int = 2,
        asynchronous: bool = True,
        max_failures: int = 3,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            dirpath: folder of the checkpoints.
            filename: of each, as Lightning has it.
            keep: newest checkpoints of this run that stay; 0 for all, as with ``save_top_k`` -1 or ``monitor``.
            asynchronous: write while training goes on; otherwise wait until it is written.
            max_failures: saves in a row that fail before training stops. Those before are reported, and training
                goes on to the next save.
            **kwargs: as for Lightning's ``ModelCheckpoint``.

        Raises:
            ValueError: no checkpoints would be made, or a number is out of range.
        """
        super().__init__(dirpath, filename, **kwargs)
        if self.save_top_k == 0 or keep < 0 or max_failures < 1:
            raise ValueError(
                f"checkpoint.save_top_k must not be 0, checkpoint.keep at least 0 and checkpoint.max_failures at "
                f"least 1, got {self.save_top_k}, {keep} and {max_failures}; trainer.enable_checkpointing false "
                f"saves none"
            )
        self.keep = 0 if self.monitor is not None or self.save_top_k == -1 else keep
        self.asynchronous, self.max_failures = asynchronous, max_failures
        self.run = ""
        """Of which run the checkpoints are; a resumed run keeps it."""
        self.failures = 0
        """Saves in a row that have failed."""
        self._saver, self._reported = Saver(), False
        self._expected: dict[str, tuple[int, ...]] | None = None
        self._loaded: dict[str, Any] | None = None
        self._generators: list[rng.State] = []

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Let the trainer read folders, and remove what a killed run left half done."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = FolderIO()
        if stage == "fit":
            self.run = self.run or trainer.strategy.broadcast(uuid4().hex)
            if trainer.is_global_zero and self.dirpath is not None:
                clean(Path(self.dirpath))

    # ------------------------------------------------------------------ saving

    def save_now(self, trainer: lightning.Trainer) -> None:
        """Save this step, and wait until it is there; on all ranks.

        Raises:
            SaveError: it can't be saved.
        """
        self._wait()
        if self._last_global_step_saved != trainer.global_step:
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)
            try:
                self._saver.wait()
            except SaveError:
                self._last_global_step_saved = -1
                raise

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:
        """Save where it is time; a save that has failed meanwhile is reported.

        Ranks get to know of it at different steps, so it changes nothing before the next save.

        Raises:
            SaveError: as many saves in a row as ``max_failures`` have failed.
        """
        if not self._reported and (error := self._saver.failed()):
            self._report(error)
        super().on_train_batch_end(trainer, *args, **kwargs)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save, unless this step is saved already, and wait until all is there.

        Raises:
            SaveError: the last step can't be saved.
        """
        self._wait()
        if not self._should_skip_saving_checkpoint(trainer):
            self.save_now(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Let a save that has begun come to its end."""
        self._end()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Wait for what is being saved, and give memory back."""
        self._end()
        self._saver.close()

    def _save_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        self._wait()
        module = trainer.lightning_module
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(self.save_weights_only)
        tensors, files = pack(checkpoint, module, trainer.optimizers)
        if self._expected is None:
            self._expected = expected_shapes(module)
        target = Target(
            folder=Path(filepath),
            run=self.run,
            step=trainer.global_step,
            files=files,
            expected=self._expected,
            keep=self.keep,
            spared=Path(trainer.ckpt_path) if trainer.ckpt_path else None,
            link=bool(self.save_last),
        )
        self._last_global_step_saved, self._last_checkpoint_saved = trainer.global_step, filepath
        self._saver.save(tensors, target)
        if not self.asynchronous:
            self._wait()
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(proxy(self))

    def _save_last_checkpoint(self, trainer: lightning.Trainer, monitor_candidates: dict[str, Any]) -> None:
        """Nothing but the name: the link is made when what it names is there."""
        if self.save_last:
            self.last_model_path = self.format_checkpoint_name(monitor_candidates, self.CHECKPOINT_NAME_LAST)

    def _remove_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        if self.monitor is not None:  # the others go when a newer one is there
            self._wait()
            if trainer.is_global_zero:
                remove(Path(filepath))

    def _wait(self) -> None:
        """For what is being saved, on all ranks; a failure is counted."""
        try:
            if self._saver.wait():
                self.failures = 0
        except SaveError as error:
            if not self._reported:
                self._report(error)
            self.failures += 1
            self._last_global_step_saved = -1
        self._reported = False

    def _report(self, error: SaveError) -> None:
        self._reported, failures = True, self.failures + 1
        if failures >= self.max_failures:
            raise error
        rank_zero_warn(
            f"{error}. Training goes on, and the next checkpoint is tried as planned "
            f"(failure {failures} of {self.max_failures} in a row)"
        )

    def _end(self) -> None:
        """Let a save that has begun come to its end; where that is no success, another error comes first."""
        try:
            self._saver.wait(SECONDS_AFTER_FAILURE)
        except SaveError as error:
            rank_zero_warn(str(error))

    # ------------------------------------------------------------------ resuming

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the run's name, and the states of all ranks' random generators."""
        checkpoint.update({RUN_KEY: self.run, RNG_KEY: rng.states_of_all()})

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on at the same step, however many batches a step has now.

        Raises:
            ValueError: the checkpoint was saved while a batch was worked on, or with another optimizer.
        """
        count_anew(checkpoint, trainer.accumulate_grad_batches)
        self.run = checkpoint.get(RUN_KEY, self.run)
        if trainer.state.fn == TrainerFn.FITTING:
            self._generators, self._loaded = checkpoint.get(RNG_KEY, []), checkpoint
            if trainer.strategy.restore_checkpoint_after_setup:
                self._give_numbers(trainer)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the loaded states the numbers of the optimizers, which are there now."""
        self._give_numbers(trainer)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Let the random generators go on where they were."""
        super().on_train_start(trainer, pl_module)
        if self._generators:
            rng.restore(self._generators, trainer.global_rank)
            self._generators = []

    def _give_numbers(self, trainer: lightning.Trainer) -> None:
        if self._loaded is not None:
            give_numbers(self._loaded, trainer.lightning_module, trainer.optimizers)
        self._loaded = None

    def _find_last_checkpoints(self, trainer: lightning.Trainer) -> set[str]:
        """``last.ckpt``, which is put right first where a kill left it naming nothing."""
        if self.dirpath is not None and (last := find_last(Path(self.dirpath))):
            return {str(last)}
        return super()._find_last_checkpoints(trainer)
