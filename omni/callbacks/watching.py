"""Telemetry that sees what parts of the model put out, on the steps that it looks at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from omni.callbacks.telemetry import Telemetry
from omni.model import OmniTransformer
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain


class Watching(Telemetry):
    """Hands the output of parts of the model to ``see``, on every batch of the steps that it looks at.

    Only those batches run with hooks, so other steps cost nothing. A part that runs again in the backward pass
    (recomputation) is seen once.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
        """
        super().__init__(every_n_steps)
        self._hooks: list[RemovableHandle] = []
        self._unseen: set[int] = set()

    @abstractmethod
    def parts(self, model: OmniTransformer) -> Seq[nn.Module]:
        """The modules to watch."""

    def batch_begins(self, module: Pretrain) -> None:
        """Called before each batch of a step that will be looked at."""

    def batch_ended(self, module: Pretrain) -> None:
        """Called behind each batch of a step that will be looked at; its losses are there."""

    @abstractmethod
    def see(self, part: int, output: Any, batch: OmniBatch, model: OmniTransformer) -> None:
        """Take what is needed from the output of ``parts(model)[part]``; runs without gradients.

        ``batch`` is what this rank computed of it.
        """

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Set hooks where the step is due."""
        self._unhook()
        if not self.due(trainer):
            return
        assert isinstance(pl_module, Pretrain)
        self.batch_begins(pl_module)
        model = pl_module.model
        parts = self.parts(model)
        self._unseen = set(range(len(parts)))
        own = model.own(batch)
        self._hooks = [
            part.register_forward_hook(partial(self._saw, number, own, model))
            for number, part in enumerate(parts)
        ]

    def _saw(
        self, part: int, batch: OmniBatch, model: OmniTransformer, module: nn.Module, inputs: Any, output: Any
    ) -> None:
        if part in self._unseen:
            self._unseen.remove(part)
            with torch.no_grad():
                self.see(part, output, batch, model)

    def _unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Take the hooks away, and look where it is time.

        Raises:
            RuntimeError: a part ran without its hook, as in a graph that was compiled before the hook was there.
        """
        if self._hooks:
            self._unhook()
            if self._unseen:
                raise RuntimeError(
                    f"{type(self).__name__} saw nothing of {len(self._unseen)} parts of the model: code compiled "
                    f"around whole blocks leaves hooks out; compile inside of them, or set its every_n_steps to 0"
                )
            assert isinstance(pl_module, Pretrain)
            self.batch_ended(pl_module)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
