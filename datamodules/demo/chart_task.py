"""Naming the trend of a line chart."""

from __future__ import annotations

import numpy as np

from omni.datamodules.demo.charts import Chart
from omni.datamodules.demo.task import Task, answered
from omni.sequence import Image, Text

# The first wording is the one that the documentation uses.
DESCRIBE_CHART = ("Describe the trend in this chart.", "what is the trend?", "which way does the line go?")


def describe_chart(chart: Chart, rng: np.random.Generator) -> Task:
    """A chart and a question; the answer is its trend."""
    wording = DESCRIBE_CHART[rng.integers(len(DESCRIBE_CHART))]
    return answered([Image(pixels=chart.pixels), Text(text=wording)], Text(text=chart.trend), chart.trend)
