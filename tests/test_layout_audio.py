"""Documents in each audio layout: encoded, measured and decoded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.code_layout import NAMES, LayoutName
from omni.layout import Layout
from omni.modality import AUDIO
from omni.sequence import Audio, Document, Segment, Text
from tests.test_layout import SEGMENTS, assert_same
from tests.tiny import SAMPLE_RATE, tiny_tokenizers

LAYOUTS = {name: Layout(tiny_tokenizers(), name) for name in NAMES}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frame", [[1, 2, 3], [4, 5, 6]]),
        ("delay", [[1, -1, -1], [4, 2, -1], [16, 5, 3], [-1, -1, 6]]),
        ("flat", [[1, -1, -1], [-1, 2, -1], [-1, -1, 3], [4, -1, -1], [-1, 5, -1], [-1, -1, 6]]),
    ],
)
def test_worked_clip(name: LayoutName, expected: list[list[int]]) -> None:
    """Two frames of three codes; with 16 codes in a codebook, 16 is the end."""
    clip = Audio(np.zeros(1, np.float32), SAMPLE_RATE, np.array([[1, 2, 3], [4, 5, 6]]))
    sequence = LAYOUTS[name].encode(Document((Text("a"), clip)))
    assert sequence.codes.tolist() == expected
    assert int((sequence.modality == AUDIO.id).sum()) == len(expected)
    assert sequence.target_counts()[AUDIO.id] == len(expected) + 1, "each position, and the end of the clip"


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.lists(SEGMENTS, min_size=1, max_size=4))
def test_documents_come_back_and_are_as_long_as_measured(name: LayoutName, segments: list[Segment]) -> None:
    layout, document = LAYOUTS[name], Document(tuple(segments), key="000042")
    sequence = layout.encode(document)
    assert_same(layout.decode(sequence), document.merged())
    positions, targets = layout.measure(document)
    assert positions.sum() == len(sequence)
    assert targets.tolist() == sequence.target_counts().tolist()


def test_lengths_of_one_layout_are_not_taken_for_those_of_another() -> None:
    assert len({layout.fingerprint for layout in LAYOUTS.values()}) == 3
    assert LAYOUTS["frame"].fingerprint == Layout(tiny_tokenizers()).fingerprint


def test_a_clip_without_a_whole_frame_is_refused() -> None:
    clip = Audio(np.zeros(1, np.float32), SAMPLE_RATE, np.array([[1, 2, 3]]))
    sequence = LAYOUTS["flat"].encode(Document((clip,)))
    broken = replace(sequence, codes=np.where(sequence.codes == 3, -1, sequence.codes))
    with pytest.raises(ValueError, match="no whole frame in the layout 'flat'"):
        LAYOUTS["flat"].decode(broken)
