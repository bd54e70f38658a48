"""What variants cost, measured in alternation in one process: each round every variant does the same once.

Other work on the machine then slows all of them alike, and medians of rounds compare.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from omni.baselines.cascade import Cascade
from omni.baselines.systems import System
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
OPTIONS = SamplingOptions(max_text=32, max_audio_seconds=3.0)
"""Answers are short: a model that doesn't end them would measure its limit."""


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
    """Of the answer; of a cascade's, segments."""
    stages: tuple[tuple[str, float], ...] = ()
    """What each stage of a cascade took of ``whole``."""


@dataclass(frozen=True)
class Cost:
    """Of one variant. Of a cascade only latency: its stages read other documents."""

    positions_per_example: Mapping[str, float] = field(default_factory=dict)
    """By source, prompt and answer together."""
    training_seconds: float | None = None
    """Forward and backward pass over the same documents."""
    documents_per_second: float | None = None
    positions_per_second: float | None = None
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
    systems: Mapping[str, System], documents: Sequence[Document], each: int, rounds: int
) -> dict[str, Cost]:
    """Costs of the variants on held-out documents; ``each`` prompts of every kind, ``rounds`` times each."""
    models = {name: system for name, system in systems.items() if isinstance(system, Omni)}
    trained = _training(models, documents[:: max(1, len(documents) // TRAINED)][:TRAINED], rounds)
    latency = _latencies(systems, prompts_of(documents, each), rounds) if each else {}
    found = {}
    for name in systems:
        cost = Cost(latency=latency.get(name, {}))
        if name in trained:
            seconds, count, positions = trained[name]
            cost = replace(
                cost,
                positions_per_example=_lengths(models[name], documents),
                training_seconds=seconds,
                documents_per_second=count / seconds,
                positions_per_second=positions / seconds,
            )
        found[name] = cost
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
    systems: Mapping[str, System], prompts: Sequence[Prompt], rounds: int
) -> dict[str, dict[str, Latency]]:
    seen: dict[str, dict[str, list[Latency]]] = {name: {} for name in systems}
    for turn in range(rounds + 1):
        for number, prompt in enumerate(prompts):
            for name, omni in systems.items():
                latency = answer_latency(omni, prompt, number)
                if turn and latency is not None:  # the first round warms up
                    seen[name].setdefault(prompt.kind, []).append(latency)
    return {name: {kind: _median(ones) for kind, ones in kinds.items()} for name, kinds in seen.items()}


def answer_latency(omni: System, prompt: Prompt, seed: int) -> Latency | None:
    """Seconds that one answer takes, alone; none where a cascade has no stage for it.

    A cascade says nothing before it is done, so that its first piece is the whole answer.
    """
    if not isinstance(omni, Omni):
        return _cascade_latency(omni, prompt, seed)
    engine = Engine(omni.model, omni.tokenizers)
    options = replace(OPTIONS, seed=seed)
    begun = time.perf_counter()
    handle = engine.submit(Request(prompt=prompt.segments, want=prompt.want, options=options, stream=True))
    first = 0.0
    for event in handle:
        if not first:
            first = time.perf_counter() - begun
        if isinstance(event, Finished):
            return Latency(first, time.perf_counter() - begun, float(event.positions))
    raise AssertionError("an answer ended without its last event")


def _cascade_latency(cascade: Cascade, prompt: Prompt, seed: int) -> Latency | None:
    begun = time.perf_counter()
    try:
        (answer,) = cascade.generate_batch([prompt.segments], prompt.want, replace(OPTIONS, seed=seed))
    except ValueError:  # no stage for this modality
        return None
    whole = time.perf_counter() - begun
    return Latency(whole, whole, float(len(answer)), tuple(cascade.seconds.items()))


def _median(ones: Sequence[Latency]) -> Latency:
    stages: dict[str, list[float]] = {}
    for name, seconds in (stage for one in ones for stage in one.stages):
        stages.setdefault(name, []).append(seconds)
    return Latency(
        median(one.first for one in ones),
        median(one.whole for one in ones),
        median(one.positions for one in ones),
        tuple((name, median(seconds)) for name, seconds in stages.items()),
    )
