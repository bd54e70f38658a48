"""Spans say in a few numbers what a document's positions and targets are, and those of any piece of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.stream.pieces import cut, cuts_outside
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import Document, Image, Text
from omni.spans import LONGEST_SPAN, SpanList, count_spans, piece_targets, span_lengths, whole
from tests.tiny import picture, tiny_documents, tiny_tokenizers

LAYOUT = Layout(tiny_tokenizers())


def shown(document: Document) -> list[tuple[int, int, bool]]:
    return [(int(s & 3), int(s >> 3), bool(s >> 2 & 1)) for s in LAYOUT.spans(document)]


def test_spans_of_a_question_and_its_answer() -> None:
    which = len(LAYOUT.text.encode("which?"))
    six = len(LAYOUT.text.encode("six"))
    document = Document(
        (
            Text("which?", role="user", loss=False),
            Image(picture(6), role="user", loss=False),
            Text("six", role="assistant"),
        )
    )
    assert shown(document) == [
        (TEXT.id, 2 + which, False),  # <|begin|> <|user|> which?
        (IMAGE.id, 8, False),  # <|image|> <|size:2|> <|size:2|> P P P P <|/image|>
        (TEXT.id, 2, False),  # <|end|> <|assistant|>
        (TEXT.id, six + 1, True),  # six <|end|>
    ]


def test_pieces_have_the_targets_of_the_cut_sequence() -> None:
    """At starts and stops between which a document may be cut."""
    seen = set()
    random = np.random.default_rng(0)
    for document in tiny_documents(16):
        sequence, spans = LAYOUT.encode(document), LAYOUT.spans(document)
        places = [
            0,
            *cuts_outside(span_lengths(spans).tolist(), whole(spans).tolist()).tolist(),
            len(sequence),
        ]
        for _ in range(20):
            start, stop = sorted(random.choice(places, 2, replace=False).tolist())
            expected = cut(sequence, start, stop).target_counts().tolist()
            assert piece_targets(spans, start, stop).tolist() == expected, (document.key, start, stop)
            seen |= {(expected[AUDIO.id] > 0, expected[IMAGE.id] > 0)}
    assert len(seen) == 3


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(5, 9), st.booleans())))
def test_counts_of_any_spans(parts: list[tuple[int, int, bool]]) -> None:
    spans = SpanList()
    for part in parts:
        spans.add(*part)
    positions, targets = count_spans(spans.array())
    assert positions.sum() == sum(length for _, length, _ in parts)
    assert targets[IMAGE.id] == sum(n - 4 for m, n, learned in parts if m == IMAGE.id and learned)
    assert targets[AUDIO.id] == sum(n - 1 for m, n, learned in parts if m == AUDIO.id and learned)
    text = {TEXT.id: 0, IMAGE.id: 3, AUDIO.id: 1}
    assert targets[TEXT.id] == sum(text[m] or n for m, n, learned in parts if learned)


def test_a_span_that_no_number_holds_is_an_error() -> None:
    with pytest.raises(ValueError, match="536870912 positions in one piece, expected less than"):
        SpanList().add(0, LONGEST_SPAN, True)
    assert SpanList().array().dtype == np.uint32
