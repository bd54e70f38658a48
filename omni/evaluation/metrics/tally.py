"""A metric's state document by document: for its value, its bootstrap interval, and for adding up over ranks.

The metrics are ``torchmetrics``' whose states are sums, so the state of a set of documents is the sum of theirs.
A resample of the documents is then a few additions, and no document is scored twice. Corpus metrics such as the
word error rate stay what they are, errors of all documents over words of all documents.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import bootstrap

from omni.evaluation.metrics.intervals import Interval, share_interval

if TYPE_CHECKING:
    from torchmetrics import Metric

MetricName = Literal["share", "mean", "wer", "cer", "bleu", "chrf"]
RESAMPLES = 1000


@cache
def _metric(name: MetricName) -> Metric:
    """The metric, in fp64. Imported here, since torchmetrics takes seconds."""
    from torchmetrics import MeanMetric
    from torchmetrics.text import BLEUScore, CharErrorRate, CHRFScore, WordErrorRate

    made = {
        "share": MeanMetric,
        "mean": MeanMetric,
        "wer": WordErrorRate,
        "cer": CharErrorRate,
        "bleu": BLEUScore,
        "chrf": CHRFScore,
    }
    return made[name]().set_dtype(torch.float64)


@dataclass(frozen=True, eq=False)
class Tally:
    """The states of one metric."""

    name: str
    """Of the figure."""
    metric: MetricName
    numbers: Int[np.ndarray, " documents"]
    """Number of each document in the whole evaluation, ascending."""
    states: Float[np.ndarray, "documents values"]

    @classmethod
    def of(cls, name: str, metric: MetricName, scored: Mapping[int, tuple[Any, ...]]) -> Tally:
        """The states of documents, from what the metric's ``update`` takes.

        Args:
            name: of the figure.
            metric: ``share`` takes (whether it is right,); ``mean`` (mean, weight); the others (text, reference).
            scored: by the documents' numbers.

        Raises:
            ValueError: no documents.
        """
        if not scored:
            raise ValueError(f"{name}: no documents to measure")
        numbers = sorted(scored)
        states = np.stack([_state(metric, scored[number]) for number in numbers])
        return cls(name, metric, np.array(numbers), states)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def value(self) -> float:
        """Of all documents together."""
        return _value(self.metric, self.states.sum(axis=0))

    def interval(self, seed: int = 0) -> Interval:
        """The 95 % interval: Wilson's for a share, else percentiles of ``RESAMPLES`` resamples of the documents.

        A bootstrap of 20 right answers of 20 says 1 to 1; Wilson's interval says 0.84 to 1.
        """
        if self.metric == "share":
            return share_interval(round(float(self.states[:, 0].sum())), len(self))
        if len(self) == 1:
            return Interval(self.value, self.value)
        found = bootstrap(
            (np.arange(len(self)),),
            lambda chosen: _value(self.metric, self.states[chosen].sum(axis=0)),
            n_resamples=RESAMPLES,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return Interval(float(found.low), float(found.high))


def merged(parts: Iterable[Seq[Tally]]) -> list[Tally]:
    """The tallies of the ranks as one: each document once, in the order of the numbers.

    Raises:
        ValueError: a document is in two parts.
    """
    by_name: dict[str, list[Tally]] = {}
    for tally in (tally for part in parts for tally in part):
        by_name.setdefault(tally.name, []).append(tally)
    whole = []
    for name, tallies in by_name.items():
        numbers = np.concatenate([tally.numbers for tally in tallies])
        order = np.argsort(numbers, kind="stable")
        if len(twice := numbers[order][1:][np.diff(numbers[order]) == 0]):
            raise ValueError(f"{name}: document {twice[0]} was measured twice")
        states = np.concatenate([tally.states for tally in tallies])
        whole.append(replace(tallies[0], numbers=numbers[order], states=states[order]))
    return whole


def _state(name: MetricName, scored: tuple[Any, ...]) -> Float[np.ndarray, " values"]:
    metric = _metric(name)
    metric.reset()
    if name == "share":
        metric.update(float(scored[0]))
    elif name == "mean":
        metric.update(*scored)
    else:
        text, reference = scored
        metric.update([text], [[reference]] if name in ("bleu", "chrf") else [reference])
    return np.concatenate([_tensor(value).double().numpy().ravel() for value in metric.metric_state.values()])


def _value(name: MetricName, sums: Float[np.ndarray, " values"]) -> float:
    metric = _metric(name)
    metric.reset()
    at = 0
    for key, empty in metric.metric_state.items():
        size = _tensor(empty).numel()
        setattr(metric, key, torch.from_numpy(sums[at : at + size]).view(_tensor(empty).shape))
        at += size
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*was called before the ``update`` method.*")
        return float(metric.compute())


def _tensor(state: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    assert isinstance(state, torch.Tensor), f"the state is a list of {len(state)} values, not a sum"
    return state
