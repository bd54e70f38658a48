"""Training runs of a few steps: the module, the datamodule and a Trainer as ``omni fit`` would build them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.shards.writer import PER_SHARD, write_shards
from omni.datamodules.stream.plan_config import PlanConfig
from omni.nn.config import ModelConfig
from omni.optim.config import OptimConfig
from omni.sequence import Document
from omni.training.pretrain import Pretrain
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import shake, tiny_config

ROW_LENGTH = 256
GLOBAL_ROWS = 4
STEPS = 8
OPTIM = OptimConfig(lr=3e-3, warmup_steps=2)
NETWORK = tiny_config()


def write_corpus(folder: Path, documents: tuple[Document, ...] | None = None) -> Path:
    """Shards, measured, and tokenizers below ``folder``."""
    tiny_tokenizers().save(folder / "tokenizers")
    write_measured(documents or tiny_documents(60), folder / "train", folder / "tokenizers")
    return folder


def write_measured(
    documents: Iterable[Document], folder: Path, tokenizers: Path, per_shard: int = PER_SHARD
) -> None:
    """Shards whose indexes have the lengths of the documents."""
    write_shards(documents, folder, per_shard)
    index_folder(folder, tokenizers)


def build(
    corpus: Path,
    batch_rows: int,
    seed: int = 0,
    max_damaged: float = 0.001,
    optim: OptimConfig = OPTIM,
    network: ModelConfig = NETWORK,
) -> tuple[Pretrain, OmniDataModule]:
    """A module whose weights are all other than zero, and its data."""
    tokenizers = str(corpus / "tokenizers")
    module = Pretrain(tokenizers, network, optim, seed)
    shake(module)
    plan = PlanConfig(row_length=ROW_LENGTH, global_rows=GLOBAL_ROWS, window=64, seed=seed)
    train = str(corpus / "train")
    return module, OmniDataModule(
        tokenizers, train, None, plan, batch_rows, cache=True, max_damaged=max_damaged
    )


def fit(
    corpus: Path,
    out: Path,
    *,
    batch_rows: int = GLOBAL_ROWS,
    resume: Path | None = None,
    dtype: torch.dtype = torch.float32,
    max_damaged: float = 0.001,
    optim: OptimConfig = OPTIM,
    network: ModelConfig = NETWORK,
    save_every: int = 4,
    **settings: Any,
) -> Pretrain:
    """Train for ``STEPS`` steps; the last checkpoint, every ``save_every`` steps, is ``out/last.ckpt``.

    The rows of a step that don't fit into ``batch_rows`` are accumulated.
    """
    module, data = build(corpus, batch_rows, max_damaged=max_damaged, optim=optim, network=network)
    module.to(dtype)
    callbacks = [
        ModelCheckpoint(out, save_last=True, every_n_train_steps=save_every),
        *settings.pop("callbacks", []),
    ]
    ranks = settings.get("devices", 1)
    trainer = lightning.Trainer(
        **{
            "max_steps": STEPS,
            "accelerator": "cpu",
            "devices": 1,
            "accumulate_grad_batches": GLOBAL_ROWS // (batch_rows * ranks),
            "gradient_clip_val": 1.0,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": out,
            "callbacks": callbacks,
            **settings,
        }
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True if resume else None)
    return module


class AfterStep(lightning.Callback):
    """Calls a function once after a step."""

    def __init__(self, step: int, act: Callable[[lightning.Trainer], None]) -> None:
        self.step, self.act = step, act

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            self.act(trainer)


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
