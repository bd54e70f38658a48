"""Threads or processes: what fetching costs when documents are also tokenised, as `omni fit` does it.

Command:  python -m benchmarks.data_workers [--documents 600] [--workers 2] [--rounds 5] [--json FILE]
Time:     some minutes on two cores
Result:   for three kinds of documents: CPU time by kind of worker, and how much longer the main thread's Python takes

The documents are those of ``benchmarks.data`` (a picture, a second of sound, a text), once with clips that are encoded
by the codec meanwhile and once with codes made ahead (`omni shards tokenize`), and texts alone. ``OmniDataModule``
plans, reads, decodes, tokenises and packs them into rows of 8,192 positions. CPU time is that of the whole process
tree. Between two batches the main thread works for 20 ms of its own CPU time in pure Python, as a training loop that
launches kernels does; ``stretch`` is how long that takes by the clock, over the same work with no worker running.
Threads take turns with it for Python's lock, processes only share the cores. All take turns in each round, and
figures are medians.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded, as in the omni command

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data_cpu import cpu_seconds
from benchmarks.data_made import WORDS, made_tokenizers, write_documents
from omni.cli.json_file import add_json_option, write_json
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.codes import tokenize_shards
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.shards.writer import write_shards
from omni.datamodules.stream.loader import PlannedLoader, WorkerKind
from omni.datamodules.stream.plan_config import PlanConfig
from omni.sequence import Document, OmniBatch, Text

KINDS: dict[str, tuple[WorkerKind, bool]] = {
    "none": ("process", False),
    "threads": ("thread", True),
    "processes": ("process", True),
}
"""Kind of worker by name, and whether there are any."""
WORK = 0.02
"""Seconds of CPU that the main thread works between two batches."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=600, help="of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    add_json_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, shards in folders(Path(folder), args.documents).items():
            loaders = {
                kind: opened(Path(folder) / "tokenizers", shards, worker, args.workers if some else 0)
                for kind, (worker, some) in KINDS.items()
            }
            figures[name] = measured(loaders, args.documents, args.rounds)
    print(json.dumps(figures, indent=1))
    write_json(args.json, figures)


def folders(folder: Path, documents: int) -> dict[str, Path]:
    """Shards of each kind of documents, measured."""
    tokenizers = folder / "tokenizers"
    made_tokenizers().save(tokenizers)
    write_documents(folder / "mixed", documents, shards=4)
    index_folder(folder / "mixed", tokenizers)
    tokenize_shards(folder / "mixed", folder / "coded", tokenizers)
    random = np.random.default_rng(0)
    texts = (" ".join(random.choice(WORDS, 400)) for _ in range(documents))
    write_shards((Document((Text(text),), key=f"{n}") for n, text in enumerate(texts)), folder / "texts")
    index_folder(folder / "texts", tokenizers)
    return {
        "picture, clip, text": folder / "mixed",
        "the same, codes made ahead": folder / "coded",
        "text of 400 words": folder / "texts",
    }


def opened(tokenizers: Path, shards: Path, kind: WorkerKind, workers: int) -> PlannedLoader[OmniBatch]:
    """A loader that goes once through all documents."""
    data = OmniDataModule(
        str(tokenizers),
        str(shards),
        test=str(shards),
        plan=PlanConfig(row_length=8192, global_rows=1),
        workers=workers,
        worker_kind=kind,
    )
    with redirect_stdout(StringIO()):
        data.setup("test")
    loader = data.test_dataloader()
    assert isinstance(loader, PlannedLoader), loader
    return loader


def measured(
    loaders: Mapping[str, PlannedLoader[OmniBatch]], documents: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Figures by kind of worker, all of which take turns."""
    costs: dict[str, list[float]] = {kind: [] for kind in loaders}
    stretches: dict[str, list[float]] = {kind: [] for kind in loaders}
    for loader in loaders.values():
        list(loader)  # files come into the page cache
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for kind, loader in loaders.items():
            start, worked, clock = cpu_seconds(), 0.0, 0.0
            for _ in loader:
                clock += work()
                worked += WORK
            gc.collect()
            costs[kind].append((cpu_seconds() - start - worked) / documents)
            stretches[kind].append(clock / worked)
    alone = stretches["none"]
    return {
        kind: {
            "us_cpu_per_document": round(statistics.median(costs[kind]) * 1e6, 1),
            "cpu_over_none": round(
                statistics.median(a / b for a, b in zip(costs[kind], costs["none"], strict=True)), 3
            ),
            "stretch": round(
                statistics.median(a / b for a, b in zip(stretches[kind], alone, strict=True)), 2
            ),
        }
        for kind in loaders
    }


def work() -> float:
    """Work in pure Python for ``WORK`` seconds of CPU; returns the seconds of the clock."""
    clock, start = time.perf_counter(), time.thread_time()
    while time.thread_time() - start < WORK:
        sum(range(200))
    return time.perf_counter() - clock


if __name__ == "__main__":
    main()
