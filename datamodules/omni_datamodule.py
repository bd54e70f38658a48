"""The LightningDataModule: shards in, packed batches out."""

from __future__ import annotations

import os
from dataclasses import replace

import lightning
from rich import print as rich_print

from omni.datamodules.stream.loader import PlannedBatches, PlannedLoader
from omni.datamodules.stream.plan import Plan, PlanConfig
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout
from omni.tokenizers.bundle import Tokenizers

ENDLESS = 1_000_000_000


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
        """Read and measure the shards, and print their size."""
        layout = Layout(Tokenizers.load(self.tokenizers_folder))
        for folder in (self.train_folder, self.val_folder):
            if folder is not None and folder not in self.stores:
                workers = max(self.workers, min(2, os.cpu_count() or 1))
                self.stores[folder] = SequenceStore(folder, layout, self.cache, self.max_damaged, workers)
                self._print_size(folder)

    def _print_size(self, folder: str) -> None:
        table = self.stores[folder].table
        plan = Plan(table, self.plan_config)
        too_long = int((table.lengths > self.plan_config.row_length).sum())
        rich_print(
            f"[dim]{folder}: {len(plan.usable)} documents, {table.lengths[plan.usable].sum():,} positions, "
            f"rows {plan.fill():.1%} full"
            + (
                f"; {too_long} documents over {self.plan_config.row_length} positions left out"
                if too_long
                else ""
            )
            + "[/dim]"
        )

    def _loader(self, folder: str, config: PlanConfig, steps: int) -> PlannedLoader:
        store = self.stores[folder]
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        batches = PlannedBatches(store, Plan(store.table, config), self.batch_rows, rank, world)
        length = min(steps * batches.batches_per_step, ENDLESS)
        return PlannedLoader(batches, length, self.workers)

    def train_dataloader(self) -> PlannedLoader:
        """The whole run as one pass: the plan goes through epochs of the data by itself."""
        steps = self.trainer.max_steps if self.trainer and self.trainer.max_steps > 0 else ENDLESS
        loader = self._loader(self.train_folder, self.plan_config, steps)
        rows, count = self.plan_config.global_rows, loader.batches.batches_per_step
        if self.trainer and self.trainer.accumulate_grad_batches != count:
            raise ValueError(
                f"data.plan.global_rows {rows} = {self.batch_rows} rows x {loader.batches.world} ranks x {count} "
                f"batches, so set trainer.accumulate_grad_batches to {count}, "
                f"got {self.trainer.accumulate_grad_batches}"
            )
        return loader

    def val_dataloader(self) -> PlannedLoader | list[PlannedLoader]:
        """The first rows of the validation plan, the same at every validation."""
        if self.val_folder is None:
            return []
        world = self.trainer.world_size if self.trainer else 1
        config = replace(self.plan_config, global_rows=self.batch_rows * world)  # nothing is accumulated
        epoch_rows = len(Plan(self.stores[self.val_folder].table, config).epoch_rows(0))
        steps = max(1, min(self.val_rows, epoch_rows) // config.global_rows)
        return self._loader(self.val_folder, config, steps)
