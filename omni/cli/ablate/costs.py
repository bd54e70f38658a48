"""What variants cost, measured in alternation in one process: each round every variant does the same once.

Other work on the machine then slows all of them alike, and medians of rounds compare.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from omni.datamodules.collate import collate
from omni.evaluation.tasks import Task, split_prompt, task_of
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, Request
from omni.losses import compute_losses, corrupt_inputs
from omni.modality import AUDIO, ModalityName
from omni.nn.noise import Noise
from omni.sequence import Document, Segment

TRAINED = 32
"""Documents that a training step is timed on."""
SPOKEN = "spoken question about a picture"
MOST_TEXT = 32
"""Tokens of an answer at most: a model that doesn't end its answers would measure its limit."""


@dataclass(frozen=True)
class Prompt:
    """One question of a kind, and what is wanted."""

    kind: str
    segments: tuple[Segment, ...]
    want: ModalityName


@dataclass(frozen=True)
class Latency:
    """Medians over prompts and rounds, in seconds."""

    first: float
    """Until the first piece of the answer that could be shown or played."""
    whole: float
    """Until the answer is complete."""
    positions: float
    """Of the answer."""


@dataclass(frozen=True)
class Cost:
    """Of one variant."""

    positions_per_example: Mapping[str, float]
    """By source, prompt and answer together."""
    training_seconds: float
    """Forward and backward pass over the same documents."""
    documents_per_second: float
    positions_per_second: float
    latency: Mapping[str, Latency] = field(default_factory=dict)
    """By kind of prompt."""


def prompts_of(documents: Sequence[Document], each: int) -> list[Prompt]:
    """The first prompts of every task, and spoken questions about pictures that want a spoken answer."""
    by_source: dict[str, list[Prompt]] = {}
    for document in documents:
        task = task_of(document)
        if isinstance(task, Task):
            found = by_source.setdefault(task.source, [])
            if len(found) < each:
                found.append(Prompt(task.source, split_prompt(document)[0], task.want.name))
    seen, heard = (by_source.get(source, []) for source in ("image_to_text", "audio_to_text"))
    both = [
        Prompt(SPOKEN, (see.segments[0], hear.segments[0]), AUDIO.name)
        for see, hear in zip(seen, heard, strict=False)
    ]
    return [prompt for found in (*by_source.values(), both) for prompt in found]


def measure_costs(
    systems: Mapping[str, Omni], documents: Sequence[Document], each: int, rounds: int
) -> dict[str, Cost]:
    """Costs of the variants on held-out documents; ``each`` prompts of every kind, ``rounds`` times each."""
    lengths = {name: _lengths(omni, documents) for name, omni in systems.items()}
    trained = _training(systems, documents[:: max(1, len(documents) // TRAINED)][:TRAINED], rounds)
    latency = _latencies(systems, prompts_of(documents, each), rounds) if each else {}
    found = {}
    for name, (seconds, count, positions) in trained.items():
        own = latency.get(name, {})
        found[name] = Cost(lengths[name], seconds, count / seconds, positions / seconds, own)
    return found


def _lengths(omni: Omni, documents: Sequence[Document]) -> dict[str, float]:
    by_source: dict[str, list[int]] = {}
    for document in documents:
        by_source.setdefault(document.source, []).append(int(omni.layout.measure(document)[0].sum()))
    return {source: sum(lengths) / len(lengths) for source, lengths in by_source.items()}


def _training(
    systems: Mapping[str, Omni], documents: Sequence[Document], rounds: int
) -> dict[str, tuple[float, int, int]]:
    """Median seconds, documents and positions of a step on the same documents."""
    batches = {}
    for name, omni in systems.items():
        sequences = [omni.layout.encode(document) for document in documents]
        batches[name] = collate([sequences], row_numbers=[0])
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds + 1):
        for name, omni in systems.items():
            begun = time.perf_counter()
            _step(omni, batches[name])
            seconds[name].append(time.perf_counter() - begun)
    return {
        name: (median(took[1:]), len(documents), int(batches[name].real.sum()))
        for name, took in seconds.items()
    }


def _step(omni: Omni, batch: object) -> None:
    """Forward and backward pass as in training, without the optimizer."""
    model = omni.model
    noise = Noise.of_rows(batch, 0)  # type: ignore[arg-type]
    model.train()
    hidden = model(corrupt_inputs(batch, model, noise))  # type: ignore[arg-type]
    compute_losses(model, hidden, batch, noise).total.backward()  # type: ignore[arg-type]
    model.zero_grad(set_to_none=True)
    model.eval()


def _latencies(
    systems: Mapping[str, Omni], prompts: Sequence[Prompt], rounds: int
) -> dict[str, dict[str, Latency]]:
    seen: dict[str, dict[str, list[Latency]]] = {name: {} for name in systems}
    for turn in range(rounds + 1):
        for number, prompt in enumerate(prompts):
            for name, omni in systems.items():
                latency = answer_latency(omni, prompt, number)
                if turn:  # the first round warms up
                    seen[name].setdefault(prompt.kind, []).append(latency)
    return {name: {kind: _median(ones) for kind, ones in kinds.items()} for name, kinds in seen.items()}


def answer_latency(omni: Omni, prompt: Prompt, seed: int) -> Latency:
    """Seconds that one answer takes, alone."""
    engine = Engine(omni.model, omni.tokenizers)
    options = SamplingOptions(seed=seed, max_text=MOST_TEXT, max_audio_seconds=3.0)
    begun = time.perf_counter()
    handle = engine.submit(Request(prompt=prompt.segments, want=prompt.want, options=options, stream=True))
    first = 0.0
    for event in handle:
        if not first:
            first = time.perf_counter() - begun
        if isinstance(event, Finished):
            return Latency(first, time.perf_counter() - begun, float(event.positions))
    raise AssertionError("an answer ended without its last event")


def _median(ones: Sequence[Latency]) -> Latency:
    return Latency(
        median(one.first for one in ones),
        median(one.whole for one in ones),
        median(one.positions for one in ones),
    )
