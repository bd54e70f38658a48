"""Many streaming clients at once: is any answer lost or mixed up, does memory stay flat, how long is the wait?

    omni serve runs/demo/checkpoints/last.ckpt --port 8000 &
    python -m benchmarks.serving --url http://127.0.0.1:8000 --pid $! --seconds 300 --json serving.json

Each client asks one prompt after another, greedily, and compares every answer with the one that the prompt got when
it was asked alone, so an answer that went to another client is found. Every tenth request is left in mid-stream; how
soon the server has freed its place is read off its gauge.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2
import numpy as np

CHAT = "/v1/chat/completions"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEAVES = 0.1
"""Share of requests whose client leaves in mid-stream."""


@dataclass
class Counts:
    """What happened."""

    answers: int = 0
    wrong: int = 0
    """Answers that differ from those of the same prompt alone."""
    lost: int = 0
    """Streams without ``[DONE]``, and requests that failed."""
    refused: int = 0
    left: int = 0
    tokens: int = 0
    first: list[float] = field(default_factory=list)
    """Seconds to the first token."""
    whole: list[float] = field(default_factory=list)
    """Seconds to the end."""
    memory_mib: list[float] = field(default_factory=list)


def prompts() -> list[str]:
    """Sums whose answers differ."""
    return [f"what is {' plus '.join(WORDS[n // 10**k % 10] for k in range(3))}?" for n in range(1000)]


def body(model: str, prompt: str, tokens: int) -> dict[str, object]:
    """A streaming request."""
    messages = [{"role": "user", "content": prompt}]
    options = {"include_usage": True}
    return {
        "model": model, "messages": messages, "max_tokens": tokens, "stream": True, "stream_options": options,
    }  # fmt: skip


async def ask(
    client: httpx2.AsyncClient, request: dict[str, object], counts: Counts, leave: bool = False
) -> str | None:
    """The text of one answer; ``None`` where there is none, which is counted."""
    began, text, done = time.monotonic(), "", False
    async with client.stream("POST", CHAT, json=request) as response:
        if response.status_code != 200:
            counts.refused += response.status_code == 429
            counts.lost += response.status_code != 429
            return None
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                chunk = json.loads(line[6:])
                delta = chunk["choices"][0]["delta"].get("content") if chunk.get("choices") else None
                if delta and not text:
                    counts.first.append(time.monotonic() - began)
                text += delta or ""
                counts.tokens += (chunk.get("usage") or {}).get("completion_tokens", 0)
                if leave and text:
                    counts.left += 1
                    return None
    counts.whole.append(time.monotonic() - began)
    counts.lost += not done
    return text if done else None


async def client_loop(
    number: int, client: httpx2.AsyncClient, args: argparse.Namespace, known: dict[str, str], counts: Counts
) -> None:
    """One client, until the time is over."""
    chance, until = random.Random(number), time.monotonic() + args.seconds
    while time.monotonic() < until:
        prompt = chance.choice(list(known))
        leave = chance.random() < LEAVES
        try:
            text = await ask(client, body(args.model, prompt, args.tokens), counts, leave)
        except httpx2.HTTPError:
            counts.lost += 1
            continue
        if text is not None:
            counts.answers += 1
            counts.wrong += text != known[prompt]


async def watch_memory(pid: int, counts: Counts) -> None:
    """Note the server's resident memory every few seconds."""
    while True:
        status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None, status
        counts.memory_mib.append(int(found[1]) / 1024)
        await asyncio.sleep(2)


async def freeing(client: httpx2.AsyncClient, args: argparse.Namespace, rounds: int = 20) -> list[float]:
    """Seconds from closing a connection until no place is taken, with nobody else there."""
    found = []
    for number in range(rounds):
        request = body(args.model, f"say {WORDS[number % 10]}", args.tokens)
        async with client.stream("POST", CHAT, json=request) as response:
            await anext(response.aiter_bytes())
        began = time.monotonic()
        while await busy(client, args.model):
            await asyncio.sleep(0.002)
        found.append(time.monotonic() - began)
    return found


async def busy(client: httpx2.AsyncClient, model: str) -> float:
    """Answers in work or waiting."""
    text = (await client.get("/metrics")).text
    found = re.search(rf'^omni_busy{{model="{re.escape(model)}"}} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """Run all clients."""
    counts, alone = Counts(), Counts()
    limits = httpx2.Limits(max_connections=args.clients + 4)
    async with httpx2.AsyncClient(base_url=args.url, timeout=120, limits=limits, trust_env=False) as client:
        known = {}
        for prompt in prompts()[:: 1000 // args.prompts]:
            text = await ask(client, body(args.model, prompt, args.tokens), alone)
            assert text is not None, prompt
            known[prompt] = text
        freed = await freeing(client, args)
        watch = asyncio.create_task(watch_memory(args.pid, counts)) if args.pid else None
        began = time.monotonic()
        loops = (client_loop(number, client, args, known, counts) for number in range(args.clients))
        await asyncio.gather(*loops)
        seconds = time.monotonic() - began
        if watch is not None:
            watch.cancel()
        return summary(counts, seconds, freed, len(set(known.values())))


def summary(counts: Counts, seconds: float, freed: list[float], different: int) -> dict[str, object]:
    """The figures."""
    lists = ("first", "whole", "memory_mib")
    figures: dict[str, object] = {name: value for name, value in asdict(counts).items() if name not in lists}
    figures |= {"seconds": round(seconds, 1), "different_answers": different}
    for name, values in (("first", counts.first), ("whole", counts.whole), ("freed", freed)):
        for share in (50, 99):
            figures[f"{name}_p{share}_ms"] = round(1000 * float(np.percentile(values or [0], share)), 1)
    if counts.memory_mib:
        fifth = max(1, len(counts.memory_mib) // 5)
        figures["memory_mib_first_fifth"] = round(float(np.mean(counts.memory_mib[:fifth])), 1)
        figures["memory_mib_last_fifth"] = round(float(np.mean(counts.memory_mib[-fifth:])), 1)
    figures["tokens_per_second"] = round(counts.tokens / seconds, 1)
    return figures


def main() -> None:
    """Print the figures, and write them where ``--json`` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--prompts", type=int, default=50, help="different prompts")
    parser.add_argument("--tokens", type=int, default=32, help="most tokens of an answer")
    parser.add_argument("--pid", type=int, default=0, help="of the server, to watch its memory")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = asyncio.run(measure(args))
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
