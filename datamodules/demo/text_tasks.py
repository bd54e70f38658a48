"""Tasks without digits in pictures or sound: naming a chart's trend, and walking the number line."""

from __future__ import annotations

import numpy as np

from omni.datamodules.demo.arithmetic import NUMBER_WORDS
from omni.datamodules.demo.charts import Chart
from omni.datamodules.demo.task import Task, answered, running_text
from omni.sequence import Image, Text

# The first wording is the one that the documentation uses.
DESCRIBE_CHART = ("Describe the trend in this chart.", "what is the trend?", "which way does the line go?")
NEXT_NUMBER = ("what comes after {}?", "after {} comes")
PREVIOUS_NUMBER = ("what comes before {}?", "before {} comes")


def describe_chart(chart: Chart, rng: np.random.Generator) -> Task:
    """A chart and a question; the answer is its trend."""
    wording = DESCRIBE_CHART[rng.integers(len(DESCRIBE_CHART))]
    return answered([Image(pixels=chart.pixels), Text(text=wording)], Text(text=chart.trend), chart.trend)


def counting(rng: np.random.Generator) -> Task:
    """A stretch of the number line, or the number after or before another; no sum is said."""
    if rng.random() < 0.5:
        length = int(rng.integers(3, 9))
        start = int(rng.integers(0, len(NUMBER_WORDS) - length + 1))
        return running_text(", ".join(NUMBER_WORDS[start : start + length]))
    low = int(rng.integers(0, len(NUMBER_WORDS) - 1))
    wordings, asked, answer = (
        (NEXT_NUMBER, low, low + 1) if rng.random() < 0.5 else (PREVIOUS_NUMBER, low + 1, low)
    )
    question = wordings[rng.integers(len(wordings))].format(NUMBER_WORDS[asked])
    return answered([Text(text=question)], Text(text=NUMBER_WORDS[answer]), NUMBER_WORDS[answer])
