"""The LightningDataModule: shards in, packed batches out."""

from __future__ import annotations

import os
from dataclasses import replace

import lightning
from rich import print as rich_print

from omni.code_layout import LayoutName
from omni.datamodules.collate import collate
from omni.datamodules.held_out import HeldOut
from omni.datamodules.id_check import check_ids
from omni.datamodules.remote.errors import without_secrets
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.sources import SourceConfig, Sources, check_unweighted, named, weighted
from omni.datamodules.stream.batches import PlannedBatches, Share
from omni.datamodules.stream.loader import PlannedLoader, Split, WorkerKind
from omni.datamodules.stream.opened import OpenFolder, Opening, open_documents
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.table import Census
from omni.layout import Layout
from omni.sequence import OmniBatch, Sequence
from omni.tokenizers.bundle import Tokenizers

ENDLESS = 1_000_000_000
"""Steps of a run that has no end of its own."""
NEEDED = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
"""Parts of the data that a stage of Lightning reads."""


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
        train: Sources,
        val: Sources | None = None,
        plan: PlanConfig = PlanConfig(),  # noqa: B008 (frozen)
        batch_rows: int = 1,
        workers: int = 0,
        worker_kind: WorkerKind = "thread",
        cache: bool = False,
        max_damaged: float = 0.001,
        val_rows: int = 64,
        test: Sources | None = None,
        measure: bool = False,
        remote: RemoteConfig = RemoteConfig(),  # noqa: B008 (frozen)
        audio_layout: LayoutName = "frame",
    ) -> None:
        """
        Args:
            tokenizers: folder of the tokenizers.
            train: folder of training shards, or several sources by name: ``{web: {folder: ..., weight: 3}, ...}``.
            val: the same for validation, where every document comes once; none by default. Sources by name are
                validated one by one, each with a loss of its own (``val/NAME/text``).
            plan: row length, rows of a step, shuffle, mixture.
            batch_rows: B: rows of one batch on one rank; the rest of a step's rows are accumulated
                (``trainer.accumulate_grad_batches``).
            workers: how many fetch and encode; 0 does it in the main process.
            worker_kind: ``thread``, or ``process``, which costs more CPU time and never holds up the Python of the
                training loop (docs/benchmarks.md).
            cache: keep encoded documents in memory. For small data: each is then encoded once.
            max_damaged: share of a folder's documents that may be damaged before it is an error.
            val_rows: rows of the validation set, or of each of its sources by name: the first of the plan, at most
                all of them.
            test: the same as ``val``, for ``trainer.test``, which gets all rows.
            measure: read and measure all documents at the start, for shards whose indexes don't have the lengths
                of their documents for these tokenizers (``omni shards index FOLDER --tokenizers DIR``).
            remote: for shards at a URL.
            audio_layout: how codes lie on positions; that of ``model.network.audio.layout``. Shards are measured for
                ``frame`` (``omni shards index``); others need ``measure``.
        """
        super().__init__()
        self.tokenizers_folder = tokenizers
        self.sources = {"train": named(train, "data.train")}
        for name, given in (("val", val), ("test", test)):
            self.sources[name] = named(given, f"data.{name}") if given is not None else {}
            check_unweighted(self.sources[name], f"data.{name}")
        self.val_by_source = isinstance(val, dict)
        self.plan_config = weighted(plan, self.sources["train"])
        self.batch_rows, self.workers, self.cache = batch_rows, workers, cache
        self.worker_kind: WorkerKind = worker_kind
        self.max_damaged, self.val_rows = max_damaged, val_rows
        self.measure, self.remote, self.audio_layout = measure, remote, audio_layout
        self.folders: dict[str, OpenFolder] = {}
        """By path or URL."""
        for name, least in (("batch_rows", 1), ("workers", 0), ("val_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"data.{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= max_damaged <= 1:
            raise ValueError(f"data.max_damaged must be in [0, 1], got {max_damaged}")

    def setup(self, stage: str) -> None:
        """Open the shards that a stage needs. Their documents are not read, unless ``measure`` is set."""
        missing = [part for part in NEEDED.get(stage, ()) if not self._is_open(self.sources[part])]
        if not missing:
            return
        self.layout = Layout(Tokenizers.load(self.tokenizers_folder), self.audio_layout)
        how = Opening(
            layout=self.layout,
            tokenizers=self.tokenizers_folder,
            row_length=self.plan_config.row_length,
            measure=self.measure,
            max_damaged=self.max_damaged,
            cache=self.cache,
            workers=max(self.workers, min(2, os.cpu_count() or 1)),
            remote=self.remote,
        )
        for part in missing:
            for source in self.sources[part].values():
                if source.folder not in self.folders:
                    self.folders[source.folder] = open_documents(source.folder, how)
            if not self.trainer or self.trainer.is_global_zero:
                self._print_size(part)

    def on_before_batch_transfer(self, batch: OmniBatch, dataloader_idx: int) -> OmniBatch:
        """
        Raises:
            ValueError: an id that the tokenizers don't have; the message names the document.
        """
        check_ids(batch, self.layout.tokenizers, gaps=self.audio_layout != "frame")
        return batch

    def _is_open(self, sources: dict[str, SourceConfig]) -> bool:
        return all(source.folder in self.folders for source in sources.values())

    def _print_size(self, part: str) -> None:
        plan = self._plan(self.sources[part], self.plan_config, once=part != "train")
        for name, census in plan.census().items():
            folder = self.sources[part][name].folder
            rich_print(f"[dim]{without_secrets(folder)}: {said_of(census, plan.config)}[/dim]")
        rich_print(f"[dim]{part}: rows {plan.fill():.1%} full[/dim]")

    def _plan(self, sources: dict[str, SourceConfig], config: PlanConfig, once: bool) -> Plan:
        lengths = {name: self.folders[source.folder].lengths for name, source in sources.items()}
        tables = {name: one.table for name, one in lengths.items()}
        cuts = {name: one.cuts for name, one in lengths.items()}
        return Plan(tables, config, cuts, once)

    def _loader(self, sources: dict[str, SourceConfig], plan: Plan, steps: int) -> PlannedLoader[OmniBatch]:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        split = Split(batch_rows=self.batch_rows, rank=rank, world=world)
        stores = [self.folders[source.folder].store for source in sources.values()]
        batches = PlannedBatches(stores, Collated(plan.config.row_length))
        return PlannedLoader(plan, batches, split, steps, self.workers, self.worker_kind)

    def train_dataloader(self) -> PlannedLoader[OmniBatch]:
        """The whole run as one pass: the plan goes through epochs of the data by itself."""
        steps = self.trainer.max_steps if self.trainer and self.trainer.max_steps > 0 else ENDLESS
        plan = self._plan(self.sources["train"], self.plan_config, once=False)
        loader = self._loader(self.sources["train"], plan, steps)
        rows, count = self.plan_config.global_rows, loader.batches_per_step
        if self.trainer and self.trainer.accumulate_grad_batches != count:
            raise ValueError(
                f"data.plan.global_rows {rows} = {self.batch_rows} rows x {loader.split.world} ranks x {count} "
                f"batches, so set trainer.accumulate_grad_batches to {count}, "
                f"got {self.trainer.accumulate_grad_batches}"
            )
        if self.cache:
            self._fill(plan, steps / loader.split.world)
        return loader

    def _fill(self, plan: Plan, steps: float) -> None:
        """Encode ahead, in processes, what a rank goes through as a whole; else documents are on first use."""
        positions = sum(census.positions for census in plan.census().values())
        if steps * plan.config.global_rows * plan.config.row_length >= positions:
            for source in self.sources["train"].values():
                self.folders[source.folder].store.fill(max(self.workers, min(2, os.cpu_count() or 1)))

    def val_dataloader(
        self,
    ) -> PlannedLoader[OmniBatch] | dict[str, PlannedLoader[OmniBatch]] | list[PlannedLoader[OmniBatch]]:
        """The first rows of the validation documents, each of which comes once; the same at every validation.

        One loader of a folder, or one for each of several sources by their names.
        """
        sources = self.sources["val"]
        if not self.val_by_source:
            return self._once(sources, self.val_rows) if sources else []
        return {name: self._once({name: one}, self.val_rows) for name, one in sources.items()}

    def test_dataloader(self) -> PlannedLoader[OmniBatch] | list[PlannedLoader[OmniBatch]]:
        """Every test document once."""
        return self._once(self.sources["test"], None) if self.sources["test"] else []

    def held_out(self) -> HeldOut:
        """Reads this rank's share of what a run is evaluated on while it trains."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return HeldOut(self.remote, rank, world)

    def _once(self, sources: dict[str, SourceConfig], rows: int | None) -> PlannedLoader[OmniBatch]:
        of_step = self.batch_rows * (self.trainer.world_size if self.trainer else 1)  # nothing is accumulated
        plan = self._plan(sources, replace(self.plan_config, global_rows=of_step), once=True)
        steps = plan.length() if rows is None else min(max(1, rows // of_step), plan.length())
        return self._loader(sources, plan, steps)


def said_of(census: Census, config: PlanConfig) -> str:
    """What is printed of a source: what is used of it, what is left out or cut."""
    said = {"drop": "left out", "truncate": "truncated", "split": "split"}[config.too_long]
    parts = [f"{census.usable} documents, {census.positions:,} positions"]
    if census.too_long:
        parts.append(f"{census.too_long} documents over {config.row_length} positions {said}")
    if census.unreadable:
        parts.append(f"{census.unreadable} damaged ones left out")
    return "; ".join(parts)
