"""Over-long documents: cut where it is allowed, never inside a picture or clip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.stream.pieces import cut, cuts_outside, pieces_of
from omni.layout import Layout
from omni.sequence import Sequence
from tests.tiny import tiny_documents, tiny_tokenizers


def test_cuts_of_text_picture_text() -> None:
    """Text of 2, a picture of 3 with its markers, text of 2: ``t t P P P t t``."""
    assert cuts_outside([2, 3, 2], [False, True, False]).tolist() == [1, 2, 5, 6]
    assert cuts_outside([3, 2], [True, True]).tolist() == [3]
    assert cuts_outside([4], [True]).tolist() == []


@pytest.mark.parametrize(
    ("parts", "whole", "split"),
    [
        ([25], [False], [(0, 10), (10, 20), (20, 25)]),
        ([8, 4, 8], [False, True, False], [(0, 8), (8, 18), (18, 20)]),
        ([6, 4, 4], [True, True, True], [(0, 10), (10, 14)]),
        ([3, 11, 4], [False, True, False], [(0, 3), (14, 18)]),
        ([11, 4], [True, False], [(11, 15)]),
        ([4, 11], [False, True], [(0, 4)]),
        ([11, 12], [True, True], []),
    ],
    ids=["text", "moved picture", "pictures", "lost picture", "lost first", "lost last", "all lost"],
)
def test_pieces_for_rows_of_ten(parts: list[int], whole: list[bool], split: list[tuple[int, int]]) -> None:
    cuts = cuts_outside(parts, whole)
    assert pieces_of(sum(parts), cuts, 10, "split") == split
    beginning = split[:1] if split and split[0][0] == 0 else []
    assert pieces_of(sum(parts), cuts, 10, "truncate") == beginning


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=20), st.integers(1, 40))
def test_what_is_lost_are_parts_longer_than_a_row(parts: list[tuple[int, bool]], capacity: int) -> None:
    lengths, whole = [length for length, _ in parts], [stays for _, stays in parts]
    cuts = cuts_outside(lengths, whole)
    found = pieces_of(sum(lengths), cuts, capacity, "split")
    edges = {0, sum(lengths), *cuts.tolist()}
    assert all(start in edges and stop in edges and 0 < stop - start <= capacity for start, stop in found)
    assert found == sorted(found)
    kept = sum(stop - start for start, stop in found)
    assert len({n for start, stop in found for n in range(start, stop)}) == kept, "nothing twice"
    assert sum(lengths) - kept == sum(n for n, stays in parts if stays and n > capacity)


FIELDS = ("modality", "text_ids", "coords", "loss", "patches", "codes")


@pytest.mark.parametrize("document", tiny_documents(8), ids=lambda document: document.source)
def test_a_sequence_is_the_sum_of_its_pieces(document: object) -> None:
    sequence: Sequence = Layout(tiny_tokenizers()).encode(document)  # type: ignore[arg-type]
    assert cut(sequence, 0, len(sequence)) is sequence
    for middle in (0, 1, 5, len(sequence) // 2, len(sequence)):
        parts = cut(sequence, 0, middle), cut(sequence, middle, len(sequence))
        assert [len(part) for part in parts] == [middle, len(sequence) - middle]
        for name in FIELDS:
            both = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(both, getattr(sequence, name), err_msg=name)
