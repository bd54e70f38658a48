"""Charts show the trend that they are labelled with, and are a function of seed and index."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image as PILImage
from sklearn.svm import SVC

from omni.datamodules.demo.charts import HELDOUT_START, TRENDS, Chart, Trend, draw_chart, random_series


def trend_of(series: np.ndarray) -> str:
    """The trend, found from the ends and the extremes of the smoothed series."""
    smooth = np.convolve(series, np.ones(3) / 3, mode="valid")
    start, end = smooth[:2].mean(), smooth[-2:].mean()
    if smooth.max() - max(start, end) > 0.15:
        return "peak"
    if min(start, end) - smooth.min() > 0.15:
        return "valley"
    if abs(end - start) < 0.15:
        return "flat"
    return "rising" if end > start else "falling"


@pytest.mark.parametrize("trend", TRENDS)
def test_series_have_their_trend(trend: Trend) -> None:
    found = Counter(trend_of(random_series(trend, np.random.default_rng(seed))) for seed in range(300))
    assert found == {trend: 300}


def test_series_stay_in_the_chart() -> None:
    for seed in range(100):
        series = random_series(TRENDS[seed % 5], np.random.default_rng(seed))
        assert 16 <= len(series) <= 60 and series.min() >= 0 and series.max() <= 1


def test_charts_are_a_function_of_seed_and_index() -> None:
    first = [draw_chart(3, index) for index in (0, 1, 2)]
    again = [draw_chart(3, index) for index in (2, 1, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.series, other.series)
    assert draw_chart(4, 0).pixels.tobytes() != first[0].pixels.tobytes()


def test_looks_and_sizes_vary() -> None:
    charts = [draw_chart(0, index) for index in range(50)]
    assert [chart.trend for chart in charts[:5]] == list(TRENDS)
    heights, widths = zip(*(chart.pixels.shape[:2] for chart in charts), strict=True)
    assert min(widths) < 130 and max(widths) > 290
    ratios = np.divide(widths, heights)
    assert 0.98 <= ratios.min() < 1.2 and 1.8 < ratios.max() <= 2.05
    assert len({chart.pixels.tobytes() for chart in charts}) == 50


def small(chart: Chart) -> np.ndarray:
    """The picture as a small model sees it: 32 x 24 grey pixels."""
    grey = PILImage.fromarray(chart.pixels).convert("L").resize((32, 24), PILImage.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float64).reshape(-1) / 255
    return values - values.mean()


def test_trends_can_be_seen_in_a_small_picture() -> None:
    train = [draw_chart(0, index) for index in range(600)]
    heldout = [draw_chart(0, HELDOUT_START + index) for index in range(100)]
    classifier = SVC(C=10).fit([small(c) for c in train], [c.trend for c in train])
    right = classifier.score([small(c) for c in heldout], [c.trend for c in heldout])
    assert right >= 0.9, right
