"""Compares the engine with ``generate`` of transformers' Mixtral of the same shape: tokens a second, first token.

Command:  python -m benchmarks.inference --json inference.json [--model configs/model/100m.yaml] [--rounds 3]
Time:     about 10 minutes of one core
Result:   a table; ``speed_ratio_to_mixtral`` by batch (targets: 2 at batch 1, 3 at batch 32), seconds to the
          first token, and the share of the memory bandwidth that decoding at batch 1 reaches

Both have the same widths, layers, heads, experts and vocabulary, random weights (``--weights``), and greedy choice.
Prompts have 16 to 128 tokens, answers too; with batches there are twice as many requests as the batch holds. Ours
refills a slot when an answer is over, ``generate`` pads to the longest of its batch; tokens a second are those asked
for, over the whole time, prompts included. The peer's figure is that of the faster of its ways to run experts. All
take turns in one process on one thread (``--threads``); ``--clock cpu`` counts the processor's time, for machines
with other work.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import inference_peer as peer
from benchmarks.inference_work import Job, Took, answer, jobs_of, read_bandwidth, tokenizers_of
from omni.checkpoint import config_from_dict, vocabulary_of
from omni.cli.json_file import add_json_option, write_json
from omni.inference.omni import Omni
from omni.inference.weights import WEIGHTS, keep_weights
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig

BATCHES = (1, 8, 32)
LENGTHS = (16, 128)
OURS = "omni"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="configs/model/100m.yaml", help="file with the shape")
    parser.add_argument("--vocabulary", type=int, default=4096, help="text tokens")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; figures are medians")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="which time counts")
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="fp32",
        help="of ours and of the peer's, which stay fp32 for int8",
    )
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    add_json_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shape = yaml.safe_load(Path(args.model).read_text())
    config: ModelConfig = config_from_dict(ModelConfig, shape, args.model)
    dtype = torch.bfloat16 if args.weights == "bf16" else torch.float32
    omni = our_model(config, args.vocabulary, args.weights)
    peers = {name: peer.mixtral(config, args.vocabulary, name).to(dtype) for name in peer.PEERS}
    figures: dict[str, Any] = {name: getattr(args, name) for name in ("model", "weights", "clock", "threads")}
    figures |= {"torch": torch.__version__, "batches": {}}
    bandwidth = read_bandwidth()
    for batch in args.batches:
        jobs = jobs_of(omni, max(4, 2 * batch), LENGTHS, LENGTHS)
        found = compare(omni, peers, jobs, batch, args.rounds, args.clock)
        bandwidth = max(bandwidth, read_bandwidth())
        figures["batches"][f"batch_{batch}"] = found
        show(batch, found)
    figures["speed_ratio_to_mixtral"] = {
        name: found["tokens_per_second"][OURS] / max(found["tokens_per_second"][peer] for peer in peers)
        for name, found in figures["batches"].items()
    }
    figures["bandwidth_gb_per_second"] = bandwidth / 1e9
    if "batch_1" in figures["batches"]:
        per_second = figures["batches"]["batch_1"]["decode_tokens_per_second"][OURS] * bytes_of_a_token(
            omni.model
        )
        figures["share_of_bandwidth"] = per_second / bandwidth
        print(f"batch 1 reads {per_second / 1e9:.1f} of {bandwidth / 1e9:.1f} GB/s")
    print(f"speed ratio: {figures['speed_ratio_to_mixtral']}")
    write_json(args.json, figures)


def our_model(config: ModelConfig, vocabulary: int, weights: str) -> Omni:
    """The model with random weights."""
    tokenizers = tokenizers_of(vocabulary)
    model = OmniTransformer(config, vocabulary_of(tokenizers))
    model.initialise(0)
    keep_weights(model, weights)
    return Omni(model, tokenizers)


def bytes_of_a_token(model: OmniTransformer) -> int:
    """Weights that one text position needs: attention, router, T experts and the text head, which is a table."""
    moe = model.config.moe
    blocks, head = (module.state_dict().items() for module in (model.blocks, model.text_head))
    read = sum(tensor.nbytes for _, tensor in (*blocks, *head))
    unread = sum(tensor.nbytes for name, tensor in blocks if ".experts." in name)
    return int(read - unread * (1 - moe.top_k / moe.experts))


def compare(
    omni: Omni, peers: dict[str, Any], jobs: list[Job], batch: int, rounds: int, clock: str
) -> dict[str, Any]:
    """Whole time and time to the first token of ours and the peers, which take turns."""
    runs: dict[str, Callable[[Sequence[Job]], Took]] = {OURS: lambda some: answer(omni, some, batch)}
    for name, model in peers.items():
        runs[name] = lambda some, model=model: peer.answer(model, some, batch)  # type: ignore[misc]
    first = [Job(job.text, job.prompt, 1) for job in jobs[:batch]]
    for run in runs.values():
        run(first)
    whole: dict[str, list[float]] = {name: [] for name in runs}
    start: dict[str, list[float]] = {name: [] for name in runs}
    prompts: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            whole[name].append(getattr(run(jobs), clock))
            start[name].append(getattr(run(first), clock))
            prompts[name].append(getattr(run([Job(j.text, j.prompt, 1) for j in jobs]), clock))
    tokens = sum(job.tokens for job in jobs)
    found = {
        "requests": len(jobs),
        "tokens": tokens,
        "tokens_per_second": {name: tokens / statistics.median(whole[name]) for name in runs},
        "first_token_seconds": {name: statistics.median(start[name]) for name in runs},
    }
    if batch == 1:
        found["decode_tokens_per_second"] = {
            name: (tokens - len(jobs)) / (statistics.median(whole[name]) - statistics.median(prompts[name]))
            for name in runs
        }
    return found


def show(batch: int, found: dict[str, Any]) -> None:
    """Print the figures of a batch size."""
    print(f"batch {batch}, {found['requests']} requests, {found['tokens']} tokens")
    for name, speed in found["tokens_per_second"].items():
        first = found["first_token_seconds"][name]
        print(f"  {name:12}{speed:8.1f} tokens/s  first token after {1000 * first:6.1f} ms")


if __name__ == "__main__":
    main()
