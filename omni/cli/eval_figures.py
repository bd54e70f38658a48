"""What `omni eval` found: gathered, printed as a table, written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from omni.cli.eval_examples import ExampleRow
from omni.cli.eval_harness import HarnessFigures
from omni.evaluation.choices import Chosen, choice_tallies
from omni.evaluation.metrics.tally import Tally
from omni.evaluation.results import EvaluationResult


class EvaluationFigures:
    """Metrics with their intervals and counts, and the answers to questions."""

    def __init__(self, seed: int) -> None:
        """``seed`` draws the resamples of bootstraps."""
        self.seed = seed
        self.metrics: dict[str, float] = {}
        self.intervals: dict[str, tuple[float, float]] = {}
        self.counts: dict[str, int] = {}
        self.choices: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.examples: list[ExampleRow] = []
        """What each held-out example adds to each figure."""

    def add_result(self, result: EvaluationResult) -> None:
        """Take in what judges said; its figures go before others of the same name."""
        self.metrics.update(result.metrics)
        self.intervals.update(result.intervals)
        self.counts.update(result.counts)

    def add_tallies(self, tallies: Sequence[Tally]) -> None:
        """Take in metrics, each with its interval."""
        for tally in tallies:
            self.metrics[tally.name] = tally.value
            self.intervals[tally.name] = tally.interval(self.seed)
            self.counts[tally.name] = len(tally)

    def add_harness(self, found: HarnessFigures) -> None:
        """Take in the figures of another harness."""
        metrics, intervals, counts = found
        self.metrics.update(metrics)
        self.intervals.update(intervals)
        self.counts.update(counts)

    def add_chosen(self, chosen: Sequence[Chosen]) -> None:
        """Take in the answers to questions with options."""
        self.add_tallies(choice_tallies(dict(enumerate(chosen))))
        self.choices += [
            {
                "id": one.choice.key,
                "source": one.choice.source,
                "answer": one.choice.answer,
                "likeliest": one.likeliest,
                "normalised": one.normalised,
                "calibrated": one.calibrated,
                "log_likelihoods": one.sums.tolist(),
                "log_likelihoods_unasked": one.unasked.tolist(),
            }
            for one in chosen
        ]

    def show(self) -> None:
        """Print a table, and the notes."""
        table = Table("figure", "value", "95 % interval", "examples")
        for name, value in sorted(self.metrics.items()):
            interval = self.intervals.get(name)
            shown = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
            table.add_row(name, f"{value:.3f}", shown, str(self.counts[name]))
        console = Console()
        console.print(table)
        for note in self.notes:
            console.print(note)

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        found: dict[str, Any] = {
            "metrics": self.metrics,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "counts": self.counts,
        }
        return found | ({"choices": self.choices} if self.choices else {})
