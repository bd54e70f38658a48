"""What ``benchmarks.inference`` has models do, and how ours does it."""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.sequence import Text
from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TextTokenizer


@dataclass(frozen=True)
class Job:
    """One request: a prompt as text and as the ids that become of it, and the tokens that are wanted."""

    text: str
    prompt: list[int]
    tokens: int


@dataclass(frozen=True)
class Took:
    """Seconds of the wall clock, and of the processor."""

    wall: float
    cpu: float


def tokenizers_of(vocabulary: int) -> Tokenizers:
    """Tokenizers for a model that is only timed: text of Python's own sources, noise for sound."""
    texts = [path.read_text(errors="ignore") for path in _sources()[:120]]
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    codec = SpectralCodec.fit([noise], SpectralConfig(components=8, codebooks=4, codebook_size=32))
    return Tokenizers(
        TextTokenizer.train([line for text in texts for line in text.splitlines()], vocabulary, max_grid=16),
        ImageTokenizer(ImageTokenizerConfig(patch_size=4, channels=3, max_patches=256, max_grid=16)),
        codec,
    )


def _sources() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


def jobs_of(omni: Omni, count: int, prompt: tuple[int, int], tokens: tuple[int, int]) -> list[Job]:
    """Requests with prompts and answers of random length between the given ones."""
    random = np.random.default_rng(0)
    text = "".join(path.read_text(errors="ignore") for path in _sources()[120:130])
    ids, jobs = omni.tokenizers.text.encode(text), []
    for _ in range(count):
        length, start = int(random.integers(prompt[0], prompt[1] + 1)), int(random.integers(len(ids) // 2))
        asked = omni.tokenizers.text.decode(ids[start : start + length])
        row = Engine(omni.model, omni.tokenizers).submit(Request(prompt=[Text(asked)], want="text")).row
        jobs.append(Job(asked, row.builder.text_ids, int(random.integers(tokens[0], tokens[1] + 1))))
    return jobs


def answer(omni: Omni, jobs: Sequence[Job], batch: int) -> Took:
    """Answer the jobs, ``batch`` of them at once: when one is done the next takes its place."""
    never = {omni.tokenizers.text.end: float("-inf")}
    wall, cpu = time.perf_counter(), time.process_time()
    engine = Engine(omni.model, omni.tokenizers, EngineConfig(slots=batch))
    handles = []
    for job in jobs:
        options = SamplingOptions(max_text=job.tokens, logit_bias=never)
        handles.append(engine.submit(Request(prompt=[Text(job.text)], want="text", options=options)))
    while engine.step():
        pass
    took = Took(time.perf_counter() - wall, time.process_time() - cpu)
    for job, handle in zip(jobs, handles, strict=True):
        assert handle.result().positions == job.tokens, (handle.result(), job)
    return took


def read_bandwidth() -> float:
    """Bytes a second of the processor's time that a matrix far larger than its caches is read with."""
    matrix = torch.ones(16_384, 8_192)
    vector, best = torch.ones(8_192), float("inf")
    for _ in range(5):
        start = time.process_time()
        torch.mv(matrix, vector)
        best = min(best, time.process_time() - start)
    return matrix.numel() * matrix.element_size() / best
