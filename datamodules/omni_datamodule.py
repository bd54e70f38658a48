"""The LightningDataModule: shards in, packed batches out."""

from __future__ import annotations

import os
from dataclasses import replace

import lightning
from rich import print as rich_print

from omni.datamodules.collate import collate
from omni.datamodules.id_check import check_ids
from omni.datamodules.stream.loader import PlannedBatches, PlannedLoader, Share, Split
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout
from omni.sequence import OmniBatch, Sequence
from omni.tokenizers.bundle import Tokenizers

SOURCE = "shards"
"""Name of the only source. The order depends on it, so it is the same wherever the shards lie."""
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
        for name, least in (("batch_rows", 1), ("workers", 0), ("val_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"data.{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= max_damaged <= 1:
            raise ValueError(f"data.max_damaged must be in [0, 1], got {max_damaged}")

    def setup(self, stage: str) -> None:
        """Read and measure the shards."""
        self.layout = Layout(Tokenizers.load(self.tokenizers_folder))
        for folder in (self.train_folder, self.val_folder):
            if folder is not None and folder not in self.stores:
                workers = max(self.workers, min(2, os.cpu_count() or 1))
                self.stores[folder] = SequenceStore(
                    folder, self.layout, self.cache, self.max_damaged, workers
                )
                self._print_size(folder)

    def on_before_batch_transfer(self, batch: OmniBatch, dataloader_idx: int) -> OmniBatch:
        """
        Raises:
            ValueError: an id that the tokenizers don't have; the message names the document.
        """
        check_ids(batch, self.layout.tokenizers)
        return batch

    def _print_size(self, folder: str) -> None:
        plan = self._plan(folder, self.plan_config)
        census = plan.census()[SOURCE]
        said = {"drop": "left out", "truncate": "truncated", "split": "split"}[self.plan_config.too_long]
        rich_print(
            f"[dim]{folder}: {census.usable} documents, {census.positions:,} positions, "
            f"rows {plan.fill():.1%} full"
            + (
                f"; {census.too_long} documents over {self.plan_config.row_length} positions {said}"
                if census.too_long
                else ""
            )
            + "[/dim]"
        )

    def _plan(self, folder: str, config: PlanConfig, once: bool = False) -> Plan:
        return Plan({SOURCE: self.stores[folder].table}, config, once=once)

    def _loader(self, folder: str, plan: Plan, steps: int) -> PlannedLoader[OmniBatch]:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        split = Split(batch_rows=self.batch_rows, rank=rank, world=world)
        batches = PlannedBatches([self.stores[folder]], Collated(plan.config.row_length))
        return PlannedLoader(plan, batches, split, steps, self.workers)

    def train_dataloader(self) -> PlannedLoader[OmniBatch]:
        """The whole run as one pass: the plan goes through epochs of the data by itself."""
        steps = self.trainer.max_steps if self.trainer and self.trainer.max_steps > 0 else ENDLESS
        loader = self._loader(self.train_folder, self._plan(self.train_folder, self.plan_config), steps)
        rows, count = self.plan_config.global_rows, loader.batches_per_step
        if self.trainer and self.trainer.accumulate_grad_batches != count:
            raise ValueError(
                f"data.plan.global_rows {rows} = {self.batch_rows} rows x {loader.split.world} ranks x {count} "
                f"batches, so set trainer.accumulate_grad_batches to {count}, "
                f"got {self.trainer.accumulate_grad_batches}"
            )
        return loader

    def val_dataloader(self) -> PlannedLoader[OmniBatch] | list[PlannedLoader[OmniBatch]]:
        """The first rows of the validation documents, each of which comes once; the same at every validation."""
        if self.val_folder is None:
            return []
        rows = self.batch_rows * (self.trainer.world_size if self.trainer else 1)  # nothing is accumulated
        plan = self._plan(self.val_folder, replace(self.plan_config, global_rows=rows), once=True)
        return self._loader(self.val_folder, plan, min(max(1, self.val_rows // rows), plan.length()))
