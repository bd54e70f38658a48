"""What 100 million documents cost through the data module: opening, first batch, planning, resuming, memory.

Command:  python -m benchmarks.data_large [--documents 100000000] [--folder FOLDER] [--json FILE]
Time:     some minutes, most of it to write the indexes; 8.5 GB on the disk for 100 million documents
Result:   targets: first batch within 10 s, 5 us a document planned, 2 GB of memory, resuming within 1 s

The indexes are real: 28 bytes for each member, 16 for each document, 28 for its lengths and its spans, one shard of a
million documents each, opened, mapped and checked by ``OmniDataModule`` as in ``omni fit``. Only the tars are small:
many documents of an index are the same few members, which are read, compared with their checksums and encoded.
Measured is a fresh process. Memory is its proportional set size (PSS): own pages, and its share of mapped ones, which
are as many as the machine has to spare: it maps what lies around a page that is read, if that is in memory already.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_made import WORDS, made_tokenizers
from benchmarks.plan import far_states
from omni.cli.json_file import add_json_option, write_json
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.index_file import DOCUMENT, Arrays, index_bytes
from omni.datamodules.shards.shard_index import index_path
from omni.datamodules.shards.writer import write_tars
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.state import pack_state
from omni.layout import Layout
from omni.sequence import Document, Text

OF_SHARD = 1_000_000
KEYS = "abcdefghijklmnopqrstuvwxyz0123456789"
"""Keys of the documents that there are."""
MEAN_WORDS = 300
PLAN = PlanConfig(row_length=8192, global_rows=256)
BATCH_ROWS = 8
WINDOWS = 50
STATUS = Path("/proc/self/smaps_rollup")


def main() -> None:
    """Write the indexes, measure in a process of its own, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=100_000_000, help="of the index")
    parser.add_argument("--folder", type=Path, help="where the indexes go; they are removed in the end")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # in the process that is measured
    add_json_option(parser)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args.measure)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        start = time.perf_counter()
        size = write_folder(Path(folder), args.documents)
        figures: dict[str, Any] = {
            "documents": args.documents,
            "index_bytes_per_document": round(size / args.documents, 1),
            "seconds_to_make_indexes": round(time.perf_counter() - start, 1),
        }
        command = [sys.executable, "-m", "benchmarks.data_large", "--measure", folder]
        figures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(json.dumps(figures, indent=1))
    write_json(args.json, figures)


def write_folder(folder: Path, documents: int) -> int:
    """Tokenizers, and shards whose indexes name so many documents; returns the bytes of the indexes."""
    made_tokenizers().save(folder / "tokenizers")
    shards = folder / "shards"
    shards.mkdir()
    write_tars(few_documents(), shards, None, None)
    first = shards / "000000.tar"
    base = write_index(first, Layout(made_tokenizers())).index
    arrays = base.arrays
    content = first.read_bytes()
    first.unlink()
    index_path(first).unlink()
    size = 0
    for number, start in enumerate(range(0, documents, OF_SHARD)):
        tar = shards / f"shard-{number:06d}.tar"
        tar.write_bytes(content)
        many = repeated(arrays, min(OF_SHARD, documents - start), seed=number)
        head = base.head
        index = index_bytes(many, head.tar_size, head.digest, head.headers, head.layout)
        index_path(tar).write_bytes(index)
        size += len(index)
    return size


def few_documents() -> list[Document]:
    """A text for each of ``KEYS``, of log-normal length."""
    random = np.random.default_rng(0)
    lengths = (8 + random.lognormal(np.log(MEAN_WORDS) - 0.5, 1.0, len(KEYS))).astype(int)
    return [
        Document((Text(" ".join(random.choice(WORDS, length))),), key=key)
        for key, length in zip(KEYS, lengths, strict=True)
    ]


def repeated(arrays: Arrays, documents: int, seed: int) -> Arrays:
    """An index of so many documents, each of which is one of the few that ``arrays`` lists."""
    few = len(arrays.documents) - 1
    rows = np.random.default_rng(seed).integers(0, few, documents)
    numbers = np.arange(documents + 1)
    parts = arrays.parts[rows]
    parts["document"] = numbers[:-1]
    listed = np.zeros(documents + 1, DOCUMENT)
    listed["first_part"] = listed["key"] = numbers  # one member and a key of one letter each
    spans = arrays.spans.reshape(few, -1)
    return Arrays(
        parts,
        listed,
        arrays.positions[rows],
        arrays.targets[rows],
        (numbers * spans.shape[1]).astype(np.uint32),
        spans[rows].reshape(-1),
        arrays.keys[rows],
        arrays.suffixes,
        arrays.sources,
    )


def measure(folder: Path) -> dict[str, Any]:
    """Figures of a run on the shards in ``folder``; seconds are of the clock, or of CPU where the name says so."""
    before = pss_mb()
    clock, cpu = time.perf_counter(), time.process_time()
    loader = opened(folder)
    setup = time.perf_counter() - clock
    batches = iter(loader)
    next(batches)
    figures: dict[str, Any] = {
        "seconds_to_open": round(setup, 2),
        "seconds_to_first_batch": round(time.perf_counter() - clock, 2),
        "seconds_cpu_to_first_batch": round(time.process_time() - cpu, 2),
        "pss_mb_before": before,
        "pss_mb_at_first_batch": pss_mb(),
        "own_mb_at_first_batch": pss_mb("Pss_Anon"),
    }
    figures |= planned(loader)
    plan = loader.plan
    for name, state in zip(("half", "99_percent"), far_states(plan, plan.start()), strict=True):
        saved = pack_state(state, plan.fingerprint) | {
            "batch": 0,
            "batches_per_step": loader.batches_per_step,
        }
        clock, cpu = time.perf_counter(), time.process_time()
        loader.load_state_dict(saved)
        next(iter(loader))
        figures[f"seconds_to_resume_at_{name}"] = round(time.perf_counter() - clock, 2)
        figures[f"seconds_cpu_to_resume_at_{name}"] = round(time.process_time() - cpu, 2)
    figures["state_bytes"] = len(json.dumps(loader.state_dict()))
    figures |= {"pss_mb_at_end": pss_mb(), "own_mb_at_end": pss_mb("Pss_Anon")}
    return figures


def opened(folder: Path) -> Any:
    """The training loader, as ``omni fit`` opens it."""
    data = OmniDataModule(
        str(folder / "tokenizers"), str(folder / "shards"), plan=PLAN, batch_rows=BATCH_ROWS
    )
    printed, sys.stdout = sys.stdout, sys.stderr
    try:
        data.setup("fit")
        return data.train_dataloader()
    finally:
        sys.stdout = printed


def planned(loader: Any) -> dict[str, float]:
    """CPU time to plan a document."""
    plan = loader.plan
    cpu, documents = time.process_time(), 0
    for step, state in islice(plan.steps(), 10_000):
        documents += sum(map(len, step.rows))
        if state.window >= WINDOWS:
            break
    return {
        "documents_planned": documents,
        "us_cpu_to_plan_a_document": round((time.process_time() - cpu) / documents * 1e6, 2),
    }


def pss_mb(kind: str = "Pss") -> int:
    """Proportional set size of this process, or the part of it of one kind."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) // 1024


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    main()
