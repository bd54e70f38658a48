"""What the demo should reach, as data, and the verdict on what it did reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Comparison = Literal["at least", "at most", "below"]
Unit = Literal["share", "minutes", "GiB", "plain"]
Outcome = Literal["met", "missed", "not measured"]

_SIGNS: dict[Comparison, str] = {"at least": "≥", "at most": "≤", "below": "<"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on one figure of ``metrics.json``."""

    metric: str
    """Name in ``metrics.json``."""
    figure: str
    """What the figure is, for a reader."""
    value: float
    """The bound, in the unit of ``metrics.json``; with ``relative_to`` it is added to the other figure."""
    comparison: Comparison = "at least"
    recorded: float | None = None
    """The bound for recorded instead of synthetic speech, where it is another."""
    relative_to: str | None = None
    """The metric that the bound depends on: the bound is ``factor`` times it plus ``value``."""
    factor: float = 1.0
    unit: Unit = "share"
    note: str = ""
    """What the figure or the bound means."""

    def bound(self, metrics: Mapping[str, float | None], speech_is_synthetic: bool) -> float | None:
        """The bound for these figures; ``None`` where the one that it depends on wasn't measured."""
        value = self.value if speech_is_synthetic or self.recorded is None else self.recorded
        if self.relative_to is None:
            return value
        other = _measured(metrics, self.relative_to)
        return None if other is None else self.factor * other + value

    def holds(self, reached: float, bound: float) -> bool:
        """Whether a figure keeps the bound."""
        if self.comparison == "at least":
            return reached >= bound
        return reached <= bound if self.comparison == "at most" else reached < bound


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a target and how it went."""

    target: Target
    bound: float | None
    reached: float | None
    outcome: Outcome

    @property
    def figure(self) -> str:
        """What the figure is."""
        return self.target.figure

    @property
    def target_text(self) -> str:
        """The bound, such as ``≥ 95.0 %``."""
        return f"{_SIGNS[self.target.comparison]}\u00a0{written(self.bound, self.target.unit)}"

    @property
    def reached_text(self) -> str:
        """The figure reached, such as ``96.4 %``."""
        return written(self.reached, self.target.unit)

    def __str__(self) -> str:
        """A line for the terminal, such as ``met          Text → picture: 97.0 % (target ≥ 95.0 %)``."""
        line = f"{self.outcome:<12} {self.figure}: {self.reached_text} (target {self.target_text})"
        return line.replace("\u00a0", " ")


def written(value: float | None, unit: Unit) -> str:
    """A figure with its unit."""
    if value is None:
        return "n/a"
    if unit == "share":
        return f"{100 * value:.1f}\u00a0%"
    if unit == "minutes":
        return f"{value / 60:.1f}\u00a0min"
    return f"{value:.1f}\u00a0GiB" if unit == "GiB" else f"{value:.2f}"


def verdict(
    metrics: Mapping[str, float | None], speech_is_synthetic: bool, targets: tuple[Target, ...] | None = None
) -> tuple[Row, ...]:
    """Each target with the figure reached and whether it was met."""
    rows = []
    for target in TARGETS if targets is None else targets:
        bound, reached = target.bound(metrics, speech_is_synthetic), _measured(metrics, target.metric)
        outcome: Outcome = "not measured"
        if bound is not None and reached is not None:
            outcome = "met" if target.holds(reached, bound) else "missed"
        rows.append(Row(target=target, bound=bound, reached=reached, outcome=outcome))
    return tuple(rows)


def _measured(metrics: Mapping[str, float | None], name: str) -> float | None:
    value = metrics.get(name)
    return None if value is None or math.isnan(value) else value


TARGETS: tuple[Target, ...] = (
    Target(
        metric="seconds",
        figure="Whole run",
        comparison="at most",
        value=900.0,
        unit="minutes",
        note="On two CPU cores, without the installation.",
    ),
    Target(metric="peak_memory_gib", figure="Peak memory", comparison="at most", value=6.0, unit="GiB"),
    Target(
        metric="image_to_text_exact",
        figure="Picture → text",
        value=0.95,
        note="A held-out handwritten digit, named exactly.",
    ),
    Target(
        metric="image_to_text_exact",
        figure="Picture → text, against a specialist",
        value=-0.015,
        relative_to="image_to_text_svm",
        note="At most 1.5 points under a support-vector machine that does nothing but read these digits.",
    ),
    Target(
        metric="chart_to_text_exact",
        figure="Chart → trend",
        value=0.9,
        note="Rising, falling, flat, peak or valley.",
    ),
    Target(
        metric="audio_to_text_exact",
        figure="Speech → text",
        value=0.95,
        recorded=0.9,
        note="A digit spoken by a voice (recordings: in a take) that training never heard.",
    ),
    Target(
        metric="text_to_image_judged",
        figure="Text → picture",
        value=0.95,
        note="The digit asked for, in the eyes of a support-vector machine trained on real ones.",
    ),
    Target(
        metric="text_to_image_diversity",
        figure="Diversity of the pictures",
        value=0.6,
        unit="plain",
        note="Mean distance of two generated pictures of a digit over that of two real ones.",
    ),
    Target(
        metric="text_to_image_diversity_worst",
        figure="Diversity, least diverse digit",
        value=0.4,
        unit="plain",
    ),
    Target(
        metric="text_to_audio_judged",
        figure="Text → speech",
        value=0.9,
        note="The word asked for, to a classifier trained on original clips.",
    ),
    Target(
        metric="text_to_audio_pocketsphinx",
        figure="Text → speech, to an outside recogniser",
        value=-0.15,
        relative_to="codec_pocketsphinx",
        note="PocketSphinx was trained on none of this; the voices are those that it understands best. "
        "At most 15 points under its score on held-out clips that went through the audio codec.",
    ),
    Target(
        metric="codec_pocketsphinx",
        figure="Audio codec, to an outside recogniser",
        value=-0.1,
        relative_to="original_pocketsphinx",
        note="Held-out clips after the codec: at most 10 points under PocketSphinx's score before it.",
    ),
    Target(
        metric="codec_judged",
        figure="Audio codec, to the classifier",
        value=0.0,
        relative_to="original_judged",
        factor=0.95,
        note="Held-out clips after the codec: at least 95 % as often right as before it.",
    ),
    Target(
        metric="image_to_audio_judged",
        figure="Picture → speech",
        value=0.85,
        recorded=0.8,
        note="The digit of a held-out picture, to the classifier.",
    ),
    Target(
        metric="audio_to_image_judged",
        figure="Speech → picture",
        value=0.85,
        note="The digit of a held-out clip, in the eyes of the support-vector machine.",
    ),
    Target(
        metric="arithmetic_exact",
        figure="Arithmetic in mixed media",
        value=0.9,
        note="Sums of two digits, each a picture, a clip or a word; no training sum adds the same two.",
    ),
    Target(
        metric="text_perplexity",
        figure="Perplexity of prose",
        comparison="below",
        value=0.0,
        relative_to="unigram_perplexity",
        factor=0.5,
        unit="plain",
        note="On topics that training never saw; the bound is half of what single tokens by frequency reach.",
    ),
)
"""The targets of ``omni demo`` on held-out data, in the order of the report."""
