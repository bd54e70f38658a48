"""Everything that the demo's report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from omni.evaluation.results import EvaluationResult
from omni.sequence import Audio


class HeldOutClip(NamedTuple):
    """A held-out clip before and after the audio codec."""

    original: Audio
    reconstructed: Audio
    """What the codec makes of it: no generated clip can sound better."""


class Continuation(NamedTuple):
    """A sample of prose."""

    beginning: str
    """Held-out text that the model was given."""
    continued: str
    """What the model wrote after it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoResults:
    """What a run of the demo measured, and samples to look at and listen to.

    The report shows only so many of the examples, pictures and clips: hand over all of them.
    """

    metrics: Mapping[str, float | None]
    """The content of ``metrics.json``; ``None`` for what wasn't measured."""
    evaluation: EvaluationResult
    """The examples of all tasks in the order of the held-out documents, and how sure their shares are."""
    real_digits: Mapping[str, Sequence[UInt8[np.ndarray, "_ _ 3"]]]
    """Held-out pictures by the word for their digit; the order of the words is the report's."""
    heldout_clips: Mapping[str, Sequence[HeldOutClip]]
    """Held-out clips by their word."""
    prose: Sequence[Continuation]
    """Samples of running text."""
    loss_csv: Path
    """``metrics.csv`` of Lightning's CSVLogger."""
    router_load: Float[np.ndarray, "layers M E"]
    """Share of each modality's routed positions that each expert got; zeros for an absent modality."""
    router_pairs: Float[np.ndarray, "layers M E E"]
    """Share of each modality's positions that went to both experts; zeros on the diagonal."""
    router_entropy: Float[np.ndarray, "layers M"]
    """How undecided the router is on each modality: 1 where all experts score alike."""
    seed: int
    """Seed of data, weights and noise."""
    parameters: int
    """Weights of the model."""
    speech_is_synthetic: bool
    """Whether the demo spoke the clips itself with eSpeak NG, instead of reading recordings."""
    speech_origin: str
    """Where the clips come from, as ``SpeechSplit.origin`` says it."""
    command: str
    """The command line that repeats the run."""
    reduced: str | None = None
    """How the run is smaller than the demo (``scale 0.05, 200 steps``); ``None`` for the whole demo."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Names and values for the last section: versions, machine, steps."""
    config: str = ""
    """The configuration of the training, as YAML."""
