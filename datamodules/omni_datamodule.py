"""The LightningDataModule: shards in, packed batches out."""

from __future__ import annotations

import os

import lightning
from rich import print as rich_print

from omni.datamodules.collate import collate
from omni.datamodules.stream.loader import PlannedBatches, PlannedLoader, Share, Split
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout
from omni.sequence import OmniBatch, Sequence
from omni.tokenizers.bundle import Tokenizers

ENDLESS = 1_000_000_000
"""Steps of a run that has no end of its own."""


class Collated:
    """Lays out the rows of a share; small, since it is sent to the workers."""

    def __init__(self, row_length: int) -> None:
        self.row_length = row_length

    def __call__(self, rows: list[list[Sequence]], share: Share) -> OmniBatch:
        """The batch of these sequences."""
        return collate(rows, self.row_length, share.targets, share.positions, share.numbers)


class OmniDataModule(lightning.LightningDataModule):
    """Streams interleaved documents from WebDataset shards as packed rows."""

    def __init__(
        self,
        tokenizers: str,
        train: str,
        val: str | None = None,
        plan: PlanConfig = PlanConfig(),  # noqa: B008 (frozen)
        batch_rows: int = 1,
        workers: int = 0,
        cache: bool = False,
        max_damaged: float = 0.001,
        val_rows: int = 64,
    ) -> None:
        """
        Args:
            tokenizers: folder of the tokenizers.
            train: folder of training shards.
            val: folder of validation shards; none by default.
            plan: row length, rows of a step, shuffle.
            batch_rows: B: rows of one batch on one rank; the rest of a step's rows are accumulated
                (``trainer.accumulate_grad_batches``).
            workers: processes that fetch and encode; 0 does it in the main process.
            cache: keep encoded documents in memory. For small data: each is then encoded once.
            max_damaged: share of damaged documents that are set aside before it is an error.
            val_rows: rows of the validation set, the first of its plan; at most all of them.
        """
        super().__init__()
        self.plan_config = plan
        self.tokenizers_folder, self.train_folder, self.val_folder = tokenizers, train, val
        self.batch_rows, self.workers, self.cache = batch_rows, workers, cache
        self.max_damaged, self.val_rows = max_damaged, val_rows
        self.stores: dict[str, SequenceStore] = {}

    def setup(self, stage: str) -> None:
        """Read and measure the shards."""
        layout = Layout(Tokenizers.load(self.tokenizers_folder))
        for folder in (self.train_folder, self.val_folder):
            if folder is not None and folder not in self.stores:
                workers = max(self.workers, min(2, os.cpu_count() or 1))
                self.stores[folder] = SequenceStore(folder, layout, self.cache, self.max_damaged, workers)
        plan = self._plan(self.train_folder)
        said = {"drop": "left out", "truncate": "truncated", "split": "split"}[self.plan_config.too_long]
        for name, census in plan.census().items():
            rich_print(
                f"[dim]{name}: {census.usable} documents, {census.positions:,} positions, "
                f"rows {plan.fill():.1%} full"
                + (
                    f"; {census.too_long} documents over {self.plan_config.row_length} positions {said}"
                    if census.too_long
                    else ""
                )
                + "[/dim]"
            )

    def _plan(self, folder: str, once: bool = False) -> Plan:
        return Plan({folder: self.stores[folder].table}, self.plan_config, once=once)

    def _loader(self, folder: str, plan: Plan, steps: int) -> PlannedLoader[OmniBatch]:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        split = Split(batch_rows=self.batch_rows, rank=rank, world=world)
        pin_memory = bool(trainer and trainer.num_devices > 1)
        batches = PlannedBatches([self.stores[folder]], Collated(plan.config.row_length))
        loader = PlannedLoader(plan, batches, split, steps, self.workers, pin_memory)
        accumulated = loader.batches_per_step
        if trainer and trainer.training and trainer.accumulate_grad_batches != accumulated:
            raise ValueError(
                f"data.plan.global_rows {plan.config.global_rows} = {self.batch_rows} rows x {world} ranks x "
                f"{accumulated} batches, so set trainer.accumulate_grad_batches to {accumulated}, "
                f"got {trainer.accumulate_grad_batches}"
            )
        return loader

    def train_dataloader(self) -> PlannedLoader[OmniBatch]:
        """The whole run as one pass: the plan goes through epochs of the data by itself."""
        steps = self.trainer.max_steps if self.trainer and self.trainer.max_steps > 0 else ENDLESS
        return self._loader(self.train_folder, self._plan(self.train_folder), steps)

    def val_dataloader(self) -> PlannedLoader[OmniBatch] | list[PlannedLoader[OmniBatch]]:
        """The first rows of the validation documents, each of which comes once; the same at every validation."""
        if self.val_folder is None:
            return []
        plan = self._plan(self.val_folder, once=True)
        rows = self.plan_config.global_rows
        steps = min(max(1, self.val_rows // rows), plan.length())
        return self._loader(self.val_folder, plan, steps)
