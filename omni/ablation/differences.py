"""Differences of two variants, paired by seed and held-out example, with bootstrap intervals over both.

Seeds and examples are crossed: each seed's model sees the same examples. A resample draws seeds and examples with
replacement, each by themselves (the pigeonhole bootstrap, Owen 2007, arXiv 0712.1111). With n seeds a resample of
seeds varies too little, by (n - 1) / n in variance, and its shape has a normal's tails where n draws have a t's. So
deviations are stretched by sqrt(n / (n - 1)) * t / z with t of n - 1 degrees of freedom (the expanded percentile
interval of Hesterberg 2015, arXiv 1411.5279, 4.2); the same is done for examples, where it hardly matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Scores:
    """One figure of one variant: what each example adds to its sum and to its count, with each seed.

    The figure is sum over count, over all examples: a share, or a mean by tokens.
    """

    sums: Float[np.ndarray, "seeds examples"]
    counts: Float[np.ndarray, "seeds examples"]

    def __post_init__(self) -> None:
        if self.sums.shape != self.counts.shape or not self.sums.size:
            raise ValueError(
                f"scores need sums and counts alike, got {self.sums.shape} and {self.counts.shape}"
            )

    def by_seed(self) -> Float[np.ndarray, " seeds"]:
        """The figure with each seed."""
        return self.sums.sum(1) / self.counts.sum(1)

    @property
    def value(self) -> float:
        """The figure, mean over the seeds."""
        return float(self.by_seed().mean())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first variant's figure less the second's, mean over seeds."""

    value: float
    low: float
    high: float
    """The 95 % interval."""
    seeds: int
    examples: int
    by_seed: tuple[float, ...]

    @property
    def holds_zero(self) -> bool:
        """Whether the interval leaves open which one is higher."""
        return self.low <= 0 <= self.high


def paired_difference(first: Scores, second: Scores, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The difference with its bootstrap interval.

    With one seed, only examples are resampled, and with one example only seeds: the interval then says nothing about
    other seeds, or other examples.

    Args:
        first: of the variant that is compared.
        second: of the one that it is compared with; the same seeds and examples in the same order.
        resamples: of the bootstrap.
        seed: draws them.

    Raises:
        ValueError: they aren't paired.
    """
    if first.sums.shape != second.sums.shape:
        raise ValueError(f"scores aren't paired: {first.sums.shape} and {second.sums.shape} seeds x examples")
    seeds, examples = first.sums.shape
    by_seed = first.by_seed() - second.by_seed()
    value = float(by_seed.mean())
    drawn = _resampled(first, second, resamples, np.random.default_rng(seed))
    if drawn is None:
        return Difference(value=value, low=value, high=value, seeds=1, examples=1, by_seed=(value,))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(
        value=value, low=float(low), high=float(high), seeds=seeds, examples=examples, by_seed=tuple(by_seed.tolist())
    )  # fmt: skip


def stretch(count: int) -> float:
    """By how much deviations of a resample of ``count`` draws are stretched; 0 for one, which can't be resampled."""
    if count < 2:
        return 0.0
    tail = (1 + LEVEL) / 2
    return float(np.sqrt(count / (count - 1)) * stats.t.ppf(tail, count - 1) / stats.norm.ppf(tail))


def _resampled(
    first: Scores, second: Scores, resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, " resamples"] | None:
    """The difference in each resample; none where there is nothing to resample."""
    seeds, examples = first.sums.shape
    if seeds == examples == 1:
        return None
    value = float((first.by_seed() - second.by_seed()).mean())
    times_RE = rng.multinomial(examples, np.full(examples, 1 / examples), size=resamples).astype(np.float64)
    differs_RS = _figures(first, times_RE) - _figures(second, times_RE)
    means_R = differs_RS.mean(1)
    times_RS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    of_seeds_R = (times_RS * differs_RS).sum(1) - means_R
    return value + stretch(examples) * (means_R - value) + stretch(seeds) * of_seeds_R


def _figures(scores: Scores, times_RE: Float[np.ndarray, "R E"]) -> Float[np.ndarray, "R S"]:
    """The figure of each seed on each resample of the examples; of a resample without counts, that of all."""
    sums_RS, counts_RS = times_RE @ scores.sums.T, times_RE @ scores.counts.T
    return np.where(counts_RS > 0, sums_RS / np.maximum(counts_RS, 1e-300), scores.by_seed())
