"""Router telemetry split by modality: which experts each uses, how decidedly, which together, and how biases move."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from omni.callbacks.heat_image import Colour, Panel, heat_image
from omni.callbacks.router_use import RouterUse
from omni.callbacks.telemetry import log_once
from omni.callbacks.watching import Watching
from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT, Modality
from omni.model import OmniTransformer
from omni.nn.moe.groups import open_counts
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain

PICTURED_LAYERS = 8
"""Of so many, evenly spread, co-activation is drawn."""
COLOURS: dict[Modality, Colour] = {TEXT: (37, 99, 235), IMAGE: (194, 104, 10), AUDIO: (13, 138, 125)}


class RouterTelemetry(Watching):
    """Logs ``router/...`` and, where the run logs to TensorBoard, heat maps of load and co-activation.

    Counts are of the whole step: all accumulated batches and all ranks. ``docs/telemetry.md`` explains each name.
    """

    def __init__(self, every_n_steps: int = 50, each_expert: bool = False, picture_every: int = 20) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
            each_expert: also log the load of every expert as a scalar of its own: layers x modalities x experts.
            picture_every: looks between two pictures for TensorBoard, which take longer than all else; 0 for none.

        Raises:
            ValueError: one of the intervals is negative.
        """
        super().__init__(every_n_steps)
        if picture_every < 0:
            raise ValueError(f"picture_every must be 0 (never) or more, got {picture_every}")
        self.picture_every = picture_every
        self.each_expert = each_expert
        self._use: dict[int, RouterUse] = {}
        self._biases: tuple[int, Float[Tensor, "X E"]] | None = None

    def parts(self, model: OmniTransformer) -> Seq[nn.Module]:
        """The blocks."""
        return list(model.blocks)

    def see(self, part: int, output: Any, batch: OmniBatch, model: OmniTransformer) -> None:
        """Count what the router of a block chose; a dense block has none, and where experts choose they all work."""
        routing = output[1]
        if routing is not None and routing.rows is None:
            open_M = tuple(open_counts(model.config.moe.expert_groups))
            use = RouterUse.of(routing, batch.modality.flatten(), open_M)
            self._use[part] = self._use[part] + use if part in self._use else use

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note where the biases stand."""
        assert isinstance(pl_module, Pretrain)
        self._note_biases(trainer.global_step, pl_module.model)

    def _note_biases(self, step: int, model: OmniTransformer) -> None:
        routers = model.routers()
        self._biases = (step, torch.stack([r.bias.clone() for r in routers])) if routers else None

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Log the step that has just ended."""
        assert isinstance(module, Pretrain)
        if not self._use:
            return
        layers = [part + 1 for part in self._use]
        use = RouterUse.stack(list(self._use.values()))
        self._use = {}
        use = replace(use, counts=trainer.strategy.reduce(use.counts, reduce_op="sum").cpu())
        log_once(
            trainer, use_scalars(use, layers, self.each_expert) | self._bias_scalars(trainer, module.model)
        )
        pictured = self.picture_every and trainer.global_step % (self.every_n_steps * self.picture_every) == 0
        for logger in trainer.loggers if trainer.is_global_zero and pictured else []:
            if isinstance(logger, TensorBoardLogger):
                for name, picture in use_pictures(use, layers).items():
                    logger.experiment.add_image(name, picture, trainer.global_step - 1, dataformats="HWC")

    def _bias_scalars(self, trainer: lightning.Trainer, model: OmniTransformer) -> dict[str, float]:
        """``bias_spread``: highest minus lowest, mean over layers. ``bias_drift``: of the way that the biases could
        have gone since the last look, the share that they went: 1 where all moved one way, near 0 in balance."""
        assert self._biases is not None
        then, before_XE = self._biases
        self._note_biases(trainer.global_step, model)
        now_XE = self._biases[1]
        scalars = {"router/bias_spread": float((now_XE.amax(1) - now_XE.amin(1)).mean())}
        if (way := model.config.moe.balance_rate * (trainer.global_step - then)) > 0:
            scalars["router/bias_drift"] = float((now_XE - before_XE).abs().mean()) / way
        return scalars


def use_scalars(use: RouterUse, layers: Seq[int], each_expert: bool) -> dict[str, float]:
    """``router/MODALITY_FIGURE``, the mean over layers, and ``router/layer_N/MODALITY_FIGURE``; present ones only."""
    scalars = {"router/dead_experts": float(use.dead.sum())}
    present = [m for m in MODALITIES if bool(use.positions[0, m.id])]
    for name, figure_XM in use.figures().items():
        for modality in present:
            by_layer = figure_XM[:, modality.id].tolist()
            scalars[f"router/{modality.name}_{name}"] = sum(by_layer) / len(by_layer)
            for layer, value in zip(layers, by_layer, strict=True):
                scalars[f"router/layer_{layer}/{modality.name}_{name}"] = value
    if each_expert:
        for layer, load_ME in zip(layers, use.load, strict=True):
            for modality in present:
                for expert, share in enumerate(load_ME[modality.id].tolist(), 1):
                    scalars[f"router/layer_{layer}/{modality.name}_load/expert_{expert}"] = share
    return scalars


def use_pictures(use: RouterUse, layers: Seq[int]) -> dict[str, np.ndarray]:
    """``router/load``: a map per modality, layers x experts. ``router/coactivation``: experts x experts, a row of
    maps per layer (of ``PICTURED_LAYERS``), a map per modality."""
    load_XME, pairs_XMEE = use.load.numpy(), use.pairs.numpy()
    names, experts = [str(layer) for layer in layers], [str(e) for e in range(1, use.experts + 1)]
    load = [[Panel(f"{m.name}, load", load_XME[:, m.id], COLOURS[m], names) for m in MODALITIES]]
    shown = np.unique(np.linspace(0, len(layers) - 1, PICTURED_LAYERS).round().astype(int))
    pairs = [
        [Panel(f"{m.name}, layer {names[x]}", pairs_XMEE[x, m.id], COLOURS[m], experts) for m in MODALITIES]
        for x in shown
    ]
    return {"router/load": heat_image(load), "router/coactivation": heat_image(pairs)}
