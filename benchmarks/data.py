"""What a stream of documents costs: ours and other loaders, as a share of the decode limit.

Command:  python -m benchmarks.data [--documents 5000] [--workers 2] [--rounds 5] [--json FILE]
          (after pip install webdataset megatron-energon mosaicml-streaming litdata, as far as wanted)
Time:     five minutes on two cores, 0.5 GB on the disk
Result:   a table; with --json the figures, among them ours_share_of_decode_limit (target: at least 0.75)

Each document is a 224x224 JPEG of about 8.5 KB, a FLAC of one second at 16 kHz of about 23 KB, and a text. Every
loader reads all of them from local files in its own shuffled order, decodes them to uint8 (height, width, 3), float32
waveforms and strings with the same decoder (``omni.media``: simplejpeg and soundfile), and delivers them to the main
process in batches of about 31 with two workers. Ours goes through the plan, ``PlannedLoader`` and ``ShardReader`` as
``omni fit`` does, with checksums and all comparisons with the JSON, but for tokenising. The decode limit is the same
decoder in one thread on files that are in memory already.

Figures are CPU time (user and system) of the whole process tree, from opening the loader's iterator until its
workers have ended: it is steady where other programs share the cores, while the clock is not. In each round all
loaders take turns in one process, after a pass in which the content of each was compared; a share is the median of
the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded, as in the omni command

import gc
import importlib.metadata
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.data_cpu import cpu_seconds
from benchmarks.data_made import batched, checksum, decode, write_documents
from benchmarks.data_ours import Ours, index_and_crc
from benchmarks.data_peers import PEERS, Epoch
from benchmarks.data_stream import stream_figures
from omni.cli.json_file import add_json_option, write_json
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.loader import WorkerKind

LIMIT = "decode from memory"
OURS: dict[str, WorkerKind] = {"ours": "thread", "ours, processes": "process"}
"""Kind of the workers; the first is what the target is for."""
PACKAGES = ("torch", "numpy", "simplejpeg", "soundfile", "webdataset")


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tars = Path(folder) / "tars"
        write_documents(tars, args.documents, shards=max(2 * args.workers, args.documents // 500))
        found, missing = open_loaders(tars, Path(folder), args.workers, args.loaders)
        seconds = measure(found, tars, args.rounds)
        figures = described(seconds, args) | {"missing": missing}
        decode_us = figures["decode_us"]
        figures |= {"stream": stream_figures(Ours(tars, args.workers, "thread"), Path(folder) / "plan")}
        costs = index_and_crc(tars)
        figures |= costs | {"index_and_crc_share_of_decode": sum(costs.values()) / decode_us}
    show(figures)
    write_json(args.json, figures)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=5000, help="of a pass, at least 40")
    parser.add_argument("--workers", type=int, default=2, help="of each loader, at least 1")
    parser.add_argument("--rounds", type=int, default=5, help="each loader's turns, at least 5")
    names = [*OURS, *(peer.name for peer in PEERS)]
    parser.add_argument(
        "--loaders", nargs="+", choices=names, default=names, help="beside ours; all by default"
    )
    add_json_option(parser)
    args = parser.parse_args()
    for name, least in (("documents", 40), ("workers", 1), ("rounds", 5)):
        if getattr(args, name) < least:
            parser.error(f"--{name} {getattr(args, name)}: expected at least {least}")
    return args


def open_loaders(
    tars: Path, folder: Path, workers: int, names: Seq[str]
) -> tuple[dict[str, Epoch], dict[str, str]]:
    """A pass of each of the loaders called ``names`` by name, and why some are missing; ours is always there."""
    found: dict[str, Epoch] = {
        name: Ours(tars, workers, kind) for name, kind in OURS.items() if name in (next(iter(OURS)), *names)
    }
    missing: dict[str, str] = {}
    for peer in (peer for peer in PEERS if peer.name in names):
        try:
            found[peer.name] = peer.open(tars, folder / peer.name, workers)
        except ImportError as error:
            missing[peer.name] = f"not installed ({error}); pip install {peer.package}"
    return found, missing


def measure(loaders: Mapping[str, Epoch], tars: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU a document: of the decode limit and of each loader, round by round.

    Raises:
        ValueError: a loader delivers other documents than there are.
    """
    reader = ShardReader(tars)
    contents = [reader.members(number) for number in range(len(reader))]
    turns: dict[str, Callable[[], int]] = {LIMIT: lambda: decode_all(contents)}
    turns |= {name: partial(documents_of, epoch) for name, epoch in loaders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    expected = sum(checksum(batched([decode(members)])) for members in contents)
    for name, epoch in loaders.items():
        if (got := sum(map(checksum, epoch()))) != expected:
            raise ValueError(f"{name} delivered other content: its sum is {got}, expected {expected}")
    gc.collect()
    gc.freeze()  # or each collection would go through all that was imported
    for _ in range(rounds):
        for name, turn in turns.items():
            gc.collect()
            start = cpu_seconds()
            got = turn()
            gc.collect()  # its workers end with it
            seconds[name].append((cpu_seconds() - start) / len(contents))
            if got != len(contents):
                raise ValueError(f"{name} delivered {got} documents, expected {len(contents)}")
    return seconds


def decode_all(contents: list[dict[str, bytes]]) -> int:
    """Decode documents that are in memory; their number."""
    for members in contents:
        decode(members)
    return len(contents)


def documents_of(epoch: Epoch) -> int:
    """Documents that a pass delivers."""
    return sum(len(batch.texts) for batch in epoch())


def described(seconds: Mapping[str, list[float]], args: argparse.Namespace) -> dict[str, Any]:
    """The figures that the rounds give."""
    limit = seconds[LIMIT]

    def row(times: list[float]) -> dict[str, Any]:
        shares = [least / taken for least, taken in zip(limit, times, strict=True)]
        return {
            "us": statistics.median(times) * 1e6,
            "share_of_decode_limit": statistics.median(shares),
            "shares": [round(share, 4) for share in shares],
        }

    rows = {name: row(times) for name, times in seconds.items() if name != LIMIT}
    for peer in PEERS:
        if peer.name in rows:
            rows[peer.name]["version"] = importlib.metadata.version(peer.package)
    return {
        "command": " ".join(["python -m benchmarks.data", *sys.argv[1:]]),
        "documents": args.documents,
        "workers": args.workers,
        "rounds": args.rounds,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "decode_us": statistics.median(limit) * 1e6,
        "ours_share_of_decode_limit": rows[next(iter(OURS))]["share_of_decode_limit"],
        "loaders": rows,
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the figures."""
    print(f"{LIMIT:24}{figures['decode_us']:8.0f} µs CPU a document")
    for name, row in figures["loaders"].items():
        label = f"{name} {row.get('version', '')}"
        print(f"{label:24}{row['us']:8.0f} µs  {row['share_of_decode_limit']:5.2f} of the decode limit")
    for name, why in figures["missing"].items():
        print(f"{name:24} {why}")
    print(
        f"index {figures['index_us']:.1f} µs, crc {figures['crc_us']:.1f} µs: "
        f"{figures['index_and_crc_share_of_decode']:.1%} of decoding"
    )
    for name, figure in figures["stream"].items():
        print(f"{name}: {figure}")


if __name__ == "__main__":
    main()
