"""A sharded run through Lightning's Trainer, stopped and resumed; each rank calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, TensorDataset

from omni.callbacks.checkpoint import Checkpoints
from omni.parallel.checkpoint.plugin import FolderIO
from omni.parallel.checkpoint.strategy import ShardedCheckpoints

STEPS, STOP = 5, 3


class Toy(lightning.LightningModule):
    """FSDP2 over all ranks; its noise comes from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 1))
        self.losses: list[float] = []

    def configure_model(self) -> None:
        fully_shard(self.net, mesh=self.device_mesh["data_parallel"])  # type: ignore[index]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = (self.net(torch.rand(2, 4)) - 1).square().mean()
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]


def train(folder: Path, steps: int, **settings: Any) -> Toy:
    module = Toy()
    torch.manual_seed(dist.get_rank())
    checkpoints = Checkpoints(folder, "{step}", save_last="link", every_n_train_steps=STOP, keep=0)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=dist.get_world_size(),
        strategy=ShardedCheckpoints(data_parallel_size=dist.get_world_size(), tensor_parallel_size=1),
        max_steps=steps,
        callbacks=[checkpoints],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.zeros(99, 1))), **settings)
    return module


def check_trainer(folder: Path) -> None:
    """Losses, and what is in the checkpoints, are those of a run that nothing stopped."""
    whole = train(folder / "whole", STEPS)
    train(folder / "parts", STOP)
    rest = train(folder / "parts", STEPS, ckpt_path="last")
    assert rest.losses == whole.losses[STOP:], (rest.losses, whole.losses)
    ends = [FolderIO().load_checkpoint(folder / name / "last.ckpt") for name in ("whole", "parts")]
    assert ends[0]["global_step"] == ends[1]["global_step"] == STEPS
    assert_same(*ends)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What two checkpoints have of a run is equal, tensors to the last bit."""
    assert one["loops"] == other["loops"]
    assert one["lr_schedulers"] == other["lr_schedulers"]
    for first, second in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        assert first["param_groups"] == second["param_groups"]
        torch.testing.assert_close(first["state"], second["state"], rtol=0, atol=0)
    torch.testing.assert_close(one["state_dict"], other["state_dict"], rtol=0, atol=0)
    for first, second in zip(one["generators"], other["generators"], strict=True):
        assert first["python"] == second["python"]
        assert torch.equal(first["torch"], second["torch"])
        assert (
            torch.equal(first["numpy"][1], second["numpy"][1]) and first["numpy"][2:] == second["numpy"][2:]
        )
