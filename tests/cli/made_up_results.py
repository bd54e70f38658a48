"""Results of a demo that never ran: two right and one wrong answer of each task."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from omni.cli.demo.report.results import Continuation, DemoResults, HeldOutClip
from omni.evaluation.judges.verdict import Verdict
from omni.evaluation.metrics.intervals import share_interval
from omni.evaluation.results import EvaluationResult, Example
from omni.evaluation.tasks import TASKS, Task
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Audio, Image, Segment, Text

RATE = 8_000
METRICS: dict[str, float | None] = {
    "seconds": 743.0,
    "peak_memory_gib": 3.25,
    "image_to_text_exact": 0.951,
    "image_to_text_svm": 0.97,
    "chart_to_text_exact": 0.9,
    "audio_to_text_exact": 0.94,
    "text_to_image_judged": 0.99,
    "text_to_image_diversity": 0.64,
    "text_to_image_diversity_worst": 0.39,
    "text_to_image_nearest": 0.12,
    "text_to_image_nearest_real": 0.14,
    "text_to_image_copies": 0.01,
    "text_to_image_copies_real": 0.0,
    "text_to_audio_judged": 0.91,
    "text_to_audio_pocketsphinx": 0.7,
    "codec_pocketsphinx": 0.8,
    "original_pocketsphinx": 0.95,
    "codec_judged": 0.96,
    "original_judged": 1.0,
    "image_to_audio_judged": 0.82,
    "audio_to_image_judged": None,
    "arithmetic_exact": float("nan"),
    "text_perplexity": 50.0,
    "unigram_perplexity": 100.0,
}


def picture(value: int = 200) -> Image:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2:6, 3:5] = value
    return Image(pixels=pixels)


def sound(pitch: float = 200.0) -> Audio:
    waveform_W = 0.3 * np.sin(2 * np.pi * pitch * np.arange(1200) / RATE)
    return Audio(waveform=waveform_W.astype(np.float32), sample_rate=RATE)


def answer_of(task: Task, word: str) -> Segment:
    answers: dict[Modality, Segment] = {TEXT: Text(text=word), IMAGE: picture(), AUDIO: sound()}
    return answers[task.want]


PROMPTS: dict[str, tuple[Segment, ...]] = {
    "image_to_text": (picture(), Text(text="which digit?")),
    "chart_to_text": (Image(pixels=np.full((40, 60, 3), 250, np.uint8)), Text(text="what is the trend?")),
    "audio_to_text": (sound(),),
    "arithmetic": (picture(), Text(text=" plus "), sound(), Text(text=" is")),
    "text_to_image": (Text(text="draw seven"),),
    "audio_to_image": (sound(), Text(text="draw it")),
    "text_to_audio": (Text(text="say seven"),),
    "image_to_audio": (picture(), Text(text="say it")),
}


def example(task: Task, number: int, right: bool = True, label: str = "seven") -> Example:
    """An example of ``task`` whose judges all saw the label, or all saw a four."""
    said = label if right else "four"
    judges = [figure.judge for figure in task.figures]
    return Example(
        key=f"{task.source}-{number}",
        source=task.source,
        prompt=PROMPTS[task.source],
        reference=(answer_of(task, label),),
        label=label,
        answer=answer_of(task, said),
        verdicts={judge: Verdict(said) for judge in judges},
        right=dict.fromkeys(judges, right),
        correct=right,
    )


def tasks() -> dict[str, Task]:
    return {task.source: task for task in TASKS if isinstance(task, Task)}


PER_STEP = {"text": 60.0, "image": 20.0, "audio": 300.0}


def write_losses(path: Path) -> Path:
    """Losses as CSVLogger lays them out: training and validation in rows of their own."""
    fields = ["epoch", "step", *(f"{stage}/{name}" for stage in ("train", "val") for name in PER_STEP)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for step in range(9, 100, 10):
            writer.writerow({"step": step} | {f"train/{n}": v / (step + 1) for n, v in PER_STEP.items()})
            if step % 50 == 49:
                writer.writerow({"step": step} | {f"val/{n}": v / step for n, v in PER_STEP.items()})
    return path


def made_up_results(folder: Path) -> DemoResults:
    """Two right and one wrong answer of each task."""
    examples = tuple(example(task, i, right=i != 1) for task in tasks().values() for i in range(3))
    name = "text_to_image_judged"
    return DemoResults(
        metrics=METRICS,
        evaluation=EvaluationResult({}, {name: share_interval(198, 200)}, {name: 200}, examples),
        real_digits={"seven": [picture().pixels] * 20, "four": [picture().pixels]},
        heldout_clips={"seven": [HeldOutClip(sound(), sound(210))] * 3},
        prose=[Continuation('The "with" statement <is>', " used & loved.")],
        loss_csv=write_losses(folder / "metrics.csv"),
        router_load=np.full((2, 3, 4), 0.25, np.float32),
        router_pairs=np.full((2, 3, 4, 4), 1 / 6, np.float32) * (1 - np.eye(4, dtype=np.float32)),
        router_entropy=np.full((2, 3), 0.5, np.float32),
        seed=3,
        parameters=3_214_000,
        speech_is_synthetic=True,
        speech_origin="synthetic speech (eSpeak NG, 52 voices)",
        command="omni demo --seed 3",
        settings={"torch": "2.13.0"},
        config="trainer:\n  max_steps: 2200\n",
    )
