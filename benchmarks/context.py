"""Peak memory of one training step on one long document.

Command:  python -m benchmarks.context [--lengths 32768,65536,131072] [--recompute blocks] [--json FILE]
Time:     a quarter of an hour on one core, nearly all of it attention at 131,072 positions
Result:   MiB that the step takes above what was there before it, in proportion to the length, as a table; with --json
          ``{"lengths": [{"length", "peak_mib", "bytes_per_position", "seconds"}, ...], "growth": ..., ...}``

Each length has a process of its own: one training step (forward, all losses, backward, AdamW) of a model of two blocks
on one document of text, patches and frames, without packing or padding. The peak is the process's highest resident
size above that behind a first step on a short document, which brings weights, gradients, moments and
kernels. ``growth`` is the exponent between the shortest and the longest length: 1 is linear, 2 quadratic.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from omni.cli.json_file import add_json_option, write_json
from omni.losses import compute_losses, corrupt_inputs
from omni.modality import AUDIO, IMAGE
from omni.model import OmniTransformer
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, ModelConfig, MoEConfig, Vocabulary
from omni.nn.context_config import RecomputeConfig, RopeConfig, YarnConfig
from omni.nn.noise import Noise
from omni.sequence import OmniBatch

VOCABULARY = Vocabulary(text=1024, patch_values=16, max_grid=8, codebooks=4, codebook_size=64)
WARM_LENGTH = 256
MODES = ("none", "blocks", "operations")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", default="32768,65536,131072", help="positions, with commas between")
    parser.add_argument("--recompute", choices=MODES, default="blocks", help="model.network.recompute.mode")
    parser.add_argument("--one", action="store_true", help="measure in this process and print JSON")
    add_json_option(parser)
    args = parser.parse_args()
    lengths = [int(length) for length in args.lengths.split(",")]
    if args.one:
        print(json.dumps(measure(lengths[0], args.recompute)))
        return
    rows = []
    for length in lengths:
        rows.append(measured_apart(length, args.recompute))
        row = rows[-1]
        print(
            f"{length:9,} positions  {row['peak_mib']:8.0f} MiB  {row['bytes_per_position']:8.0f} bytes a position"
            f"  {row['seconds']:7.1f} s",
            flush=True,
        )
    figures = {
        "recompute": args.recompute,
        "torch": torch.__version__,
        "lengths": rows,
        "growth": growth(rows),
    }
    print(f"growth: length to the power of {figures['growth']:.2f}")
    write_json(args.json, figures)


def growth(rows: list[dict[str, Any]]) -> float:
    """Exponent of the memory between the first length and the last; 0 where there is only one."""
    first, last = rows[0], rows[-1]
    if first["length"] == last["length"]:
        return 0.0
    return math.log(last["peak_mib"] / first["peak_mib"]) / math.log(last["length"] / first["length"])


def measured_apart(length: int, mode: str) -> dict[str, Any]:
    """``measure`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.context", "--one", "--lengths", str(length)]
    done = subprocess.run([*command, "--recompute", mode], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{length} positions: exit status {done.returncode}\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(length: int, mode: str) -> dict[str, Any]:
    """Peak memory above a step on a short document, and seconds, of one training step."""
    torch.manual_seed(0)
    model = OmniTransformer(network(mode), VOCABULARY).train()
    model.initialise(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    step(model, optimizer, document(WARM_LENGTH))
    batch = document(length)
    before = peak_bytes()
    start = time.perf_counter()
    loss = step(model, optimizer, batch)
    seconds = time.perf_counter() - start
    peak = peak_bytes() - before
    if not math.isfinite(loss):
        raise ValueError(f"{length} positions: the loss is {loss}")
    return {
        "length": length,
        "peak_mib": peak / 2**20,
        "bytes_per_position": peak / length,
        "seconds": seconds,
        "loss": loss,
    }


def network(mode: str) -> ModelConfig:
    """Two blocks of width 64."""
    return ModelConfig(
        width=64,
        layers=2,
        heads=2,
        kv_heads=1,
        moe=MoEConfig(experts=4, top_k=2, expert_width=64),
        image=ImageHeadConfig(width=32, depth=1, draws=1),
        audio=AudioHeadConfig(width=32, depth=1),
        rope=RopeConfig(base=500_000.0, yarn=YarnConfig(factor=32.0, original_length=4096)),
        recompute=RecomputeConfig(mode=mode),  # type: ignore[arg-type]
    )


def document(length: int) -> OmniBatch:
    """One document: of 64 positions, 4 are patches and 4 are frames, and all is to be learnt."""
    place = torch.arange(length) % 64
    modality = torch.zeros(1, length, dtype=torch.uint8)
    modality[0, (place >= 8) & (place < 12)] = IMAGE.id
    modality[0, (place >= 32) & (place < 36)] = AUDIO.id
    counts = torch.bincount(modality.flatten(), minlength=3)
    return OmniBatch(
        modality=modality,
        text_ids=torch.randint(0, VOCABULARY.text, (1, length)),
        coords=torch.arange(length).view(1, -1, 1).repeat(1, 1, 3),
        loss=torch.ones(1, length, dtype=torch.bool),
        patches=torch.randn(int(counts[IMAGE.id]), VOCABULARY.patch_values),
        codes=torch.randint(0, VOCABULARY.codebook_size, (int(counts[AUDIO.id]), VOCABULARY.codebooks)),
        lengths=(length,),
        targets=counts,
        step_positions=length,
        keys=("long",),
        row_numbers=(0,),
    )


def step(model: OmniTransformer, optimizer: torch.optim.Optimizer, batch: OmniBatch) -> float:
    """One training step, as ``omni.training.pretrain`` does it; returns its loss."""
    noise = Noise.of_rows(batch, 0)
    hidden = model(corrupt_inputs(batch, model, noise))
    loss = compute_losses(model, hidden, batch, noise).total
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    for router in model.routers():
        router.balance()
    return float(loss.detach())


def peak_bytes() -> int:
    """Highest resident size of this process so far.

    On Linux by /proc: ``ru_maxrss`` there begins with the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
