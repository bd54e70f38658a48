"""Ids that no table has are refused with the document's name."""

from __future__ import annotations

import numpy as np
import pytest

from omni.datamodules.collate import collate
from omni.datamodules.id_check import check_ids
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import Sequence
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import sequences_of

T, I, A = TEXT.id, IMAGE.id, AUDIO.id  # noqa: E741


def document(key: str, text_id: int = 329, code: int = 15, column: int = 7) -> Sequence:
    """A token, a patch, a frame, a token: all as large as 330 pieces, 8 rows and 16 codes allow."""
    return Sequence(
        modality=np.array([T, I, A, T], np.uint8),
        text_ids=np.array([5, 0, 0, text_id]),
        coords=np.array([[0, 0, 0], [1, 1, 1 + column], [3, 3, 3], [4, 4, 4]]),
        loss=np.ones(4, bool),
        patches=np.zeros((1, 16), np.float32),
        codes=np.array([[0, 4, code]]),
        key=key,
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"text_id": 330}, r"document 'bad': text id 330 at position 3 is not in 0\.\.329"),
        ({"text_id": -1}, r"document 'bad': text id -1 at position 3 is not in 0\.\.329"),
        ({"code": 16}, r"document 'bad': audio code 16 at position 2 is not in 0\.\.15"),
        ({"column": 8}, r"document 'bad': row or column 8 at position 1 is not in 0\.\.7"),
    ],
)
def test_an_id_out_of_range_names_the_document(changes: dict[str, int], told: str) -> None:
    batch = collate(
        [[document("good"), document("fine")], [document("other"), document("bad", **changes)]], 10
    )
    with pytest.raises(ValueError, match=told):
        check_ids(batch, tiny_tokenizers())


def test_what_fits_is_let_through() -> None:
    check_ids(collate([[document("good")], [document("fine")]], 6), tiny_tokenizers())
    sequences = sequences_of(tiny_documents(16))
    check_ids(collate([sequences]), tiny_tokenizers())
    for sequence in sequences:  # some of text alone
        check_ids(collate([[sequence], []]), tiny_tokenizers())
