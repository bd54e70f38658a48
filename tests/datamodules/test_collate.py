"""Rows of sequences as a batch, shown whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.datamodules.collate import collate
from omni.datamodules.stream.pieces import cut
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import PADDING, Sequence
from tests.tiny import tiny_documents, tiny_tokenizers

T, I, A, X = TEXT.id, IMAGE.id, AUDIO.id, PADDING  # noqa: E741


def sequence(modality: list[int], ids: list[int], loss: list[int], key: str) -> Sequence:
    """Coordinates count up; the patches of ``key`` "a" hold 1, its codes 1, those of "b" 2 and so on."""
    content = ord(key) - ord("a") + 1
    return Sequence(
        modality=np.array(modality, np.uint8),
        text_ids=np.array(ids),
        coords=np.repeat(np.arange(len(ids))[:, None], 3, axis=1),
        loss=np.array(loss, bool),
        patches=np.full((modality.count(I), 2), content, np.float32),
        codes=np.full((modality.count(A), 3), content),
        key=key,
    )


FIRST = sequence([T, I, T], [5, 0, 6], [1, 1, 0], "a")
SECOND = sequence([T, A, T], [5, 0, 7], [0, 1, 1], "b")
THIRD = sequence([T, T], [5, 8], [0, 1], "c")


def test_whole_batch() -> None:
    batch = collate([[FIRST, THIRD], [SECOND]], row_length=6)
    assert batch.modality.tolist() == [
        [T, I, T, T, T, X],
        [T, A, T, X, X, X],
    ]
    assert batch.text_ids.tolist() == [
        [5, 0, 6, 5, 8, 0],
        [5, 0, 7, 0, 0, 0],
    ]
    assert batch.loss.int().tolist() == [
        [0, 1, 0, 0, 1, 0],  # the first position of a document has nothing before it to predict it
        [0, 1, 1, 0, 0, 0],
    ]
    assert batch.coords[..., 0].tolist() == [
        [0, 1, 2, 0, 1, 0],
        [0, 1, 2, 0, 0, 0],
    ]
    assert batch.patches.tolist() == [[1, 1]]
    assert batch.codes.tolist() == [[2, 2, 2]]
    assert batch.lengths == (3, 2, 1, 3, 3)
    assert batch.keys == ("a", "c", "", "b", "")
    assert batch.targets.tolist() == [1, 1, 2], "a word; a patch; a frame and the end of the clip"
    assert batch.step_positions == 8
    dtypes = [batch.modality.dtype, batch.text_ids.dtype, batch.patches.dtype, batch.codes.dtype]
    assert dtypes == [torch.uint8, torch.int64, torch.float32, torch.int64]


def test_a_full_row_has_no_padding() -> None:
    batch = collate([[FIRST, SECOND]])
    assert batch.modality.tolist() == [[T, I, T, T, A, T]]
    assert (batch.lengths, batch.keys) == ((3, 3), ("a", "b"))
    assert batch.real.all()


def test_rows_are_as_long_as_the_longest_by_default() -> None:
    batch = collate([[THIRD], [FIRST, THIRD]])
    assert batch.modality.tolist() == [[T, T, X, X, X], [T, I, T, T, T]]
    assert batch.lengths == (2, 3, 3, 2)


def test_the_step_s_counts_are_taken_where_they_are_given() -> None:
    batch = collate([[THIRD]], row_length=4, targets=(10, 20, 30), step_positions=99)
    assert batch.targets.tolist() == [10, 20, 30]
    assert batch.step_positions == 99


def test_patches_and_codes_stand_in_the_order_of_their_positions() -> None:
    other = sequence([T, I, I, A, T], [5, 0, 0, 0, 7], [0, 1, 1, 1, 1], "d")
    batch = collate([[SECOND, FIRST], [other]])
    assert batch.patches[:, 0].tolist() == [1, 4, 4]
    assert batch.codes[:, 0].tolist() == [2, 4]
    assert batch.of(IMAGE).int().tolist() == [[0, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0]]


def test_a_row_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 5 positions is longer than 4"):
        collate([[FIRST, THIRD]], row_length=4)


def test_rows_without_sequences_are_padding() -> None:
    """A sequence of length 0 stands in where there is none, and says how wide patches and codes are."""
    sequence = Layout(tiny_tokenizers()).encode(tiny_documents(1)[0])
    batch = collate([[cut(sequence, 0, 0)], []], 8, [5, 0, 0], 9, row_numbers=(7, 6))
    assert batch.lengths == (8, 8) and batch.keys == ("", "")
    assert not batch.real.any() and not batch.loss.any()
    assert batch.patches.shape == (0, sequence.patches.shape[1])
    assert batch.codes.shape == (0, sequence.codes.shape[1])
    assert (batch.targets.tolist(), batch.step_positions, batch.row_numbers) == ([5, 0, 0], 9, (7, 6))
