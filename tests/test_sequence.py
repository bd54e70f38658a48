"""Documents, sequences and batches: what is merged, what is counted, what is checked."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import PADDING, Audio, Document, Image, OmniBatch, Segment, Sequence, Text, turn_of

PICTURE = Image(np.zeros((2, 2, 3), np.uint8))
CLIP = Audio(np.zeros(4000, np.float32), 8000)


def test_neighbouring_texts_of_one_turn_are_merged() -> None:
    document = Document(
        (
            Text("which ", role="user", loss=False),
            Text("digit?", role="user", loss=False),
            Text("a ", role="assistant"),
            Text("seven", role="assistant"),
        ),
        key="000007",
        source="digits",
        label="7",
        shard="train-0.tar",
    )
    assert document.merged() == Document(
        (Text("which digit?", role="user", loss=False), Text("a seven", role="assistant")),
        key="000007",
        source="digits",
        label="7",
        shard="train-0.tar",
    )


@pytest.mark.parametrize(
    "segments",
    [
        (Text("a", role="user"), Text("b", role="assistant")),
        (Text("a", loss=False), Text("b", loss=True)),
        (Text("a"), PICTURE, Text("b")),
        (PICTURE, PICTURE),
        (CLIP, CLIP),
    ],
    ids=["role differs", "loss differs", "picture between", "two pictures", "two clips"],
)
def test_nothing_else_is_merged(segments: tuple[Segment, ...]) -> None:
    document = Document(segments)
    assert document.merged() == document
    assert document.merged().merged() == document


def test_a_document_without_segments_is_refused_by_shard_and_key() -> None:
    with pytest.raises(
        ValueError, match=r"train-0\.tar\[000007\]: a document needs at least one segment, got none"
    ):
        Document((), key="000007", shard="train-0.tar")


def test_a_turn_sets_role_and_loss_of_every_segment() -> None:
    turn = turn_of([Text("which?"), PICTURE], "user", loss=False)
    assert [(segment.role, segment.loss) for segment in turn] == [("user", False), ("user", False)]
    assert isinstance(turn[1], Image)
    assert turn[1].pixels is PICTURE.pixels


def test_seconds_of_a_clip() -> None:
    assert CLIP.seconds == 0.5


def test_segments_are_checked_and_frozen() -> None:
    with pytest.raises(TypeCheckError):
        Image(np.zeros((2, 2), np.uint8))
    with pytest.raises(TypeCheckError):
        Audio(np.zeros(4, np.int16), 8000)
    with pytest.raises(FrozenInstanceError):
        CLIP.sample_rate = 16000  # type: ignore[misc]


def sequence_of(modality: list[int], loss: list[int]) -> Sequence:
    length = len(modality)
    return Sequence(
        modality=np.array(modality, np.uint8),
        text_ids=np.zeros(length, np.int64),
        coords=np.zeros((length, 3), np.int64),
        loss=np.array(loss, bool),
        patches=np.zeros((modality.count(IMAGE.id), 3), np.float32),
        codes=np.zeros((modality.count(AUDIO.id), 2), np.int64),
    )


def test_target_counts_worked_example() -> None:
    """A document with one picture of two patches and one clip of three frames.

    The first position has nothing before it that could predict it. The end of the clip is the audio head's
    business, so it counts as audio, although the position itself holds a text token.
    """
    # fmt: off
    #           begin word <image> rows cols patch patch </image> <audio> frame frame frame </audio> end
    modality = [0,    0,   0,      0,   0,   1,    1,    0,       0,      2,    2,    2,    0,       0]
    loss =     [1,    1,   1,      1,   1,   1,    1,    0,       1,      1,    1,    1,    1,       1]
    counted =  [None, 0,   0,      0,   0,   1,    1,    None,    0,      2,    2,    2,    2,       0]
    # fmt: on
    expected = [counted.count(TEXT.id), counted.count(IMAGE.id), counted.count(AUDIO.id)]
    assert expected == [6, 2, 4]
    assert sequence_of(modality, loss).target_counts().tolist() == expected


@pytest.mark.parametrize(
    ("modality", "loss", "expected"),
    [
        ([0], [1], [0, 0, 0]),
        ([0, 0], [0, 1], [1, 0, 0]),
        ([0, 2, 2, 0], [1, 1, 1, 0], [0, 0, 2]),
        ([0, 2, 0, 0], [0, 0, 1, 1], [1, 0, 1]),
        ([2, 0], [1, 1], [0, 0, 1]),
        ([1, 1, 0], [1, 1, 1], [1, 1, 0]),
    ],
    ids=[
        "one position",
        "text",
        "end not trained",
        "only the end trained",
        "starts with a frame",
        "starts with a patch",
    ],
)
def test_target_counts_at_the_edges(modality: list[int], loss: list[int], expected: list[int]) -> None:
    sequence = sequence_of(modality, loss)
    assert sequence.target_counts().tolist() == expected
    assert len(sequence) == len(modality)
    assert sequence.loss.tolist() == [bool(flag) for flag in loss]


def test_fields_of_a_sequence_must_agree_in_length() -> None:
    with pytest.raises(TypeCheckError):
        Sequence(
            modality=np.zeros(3, np.uint8),
            text_ids=np.zeros(2, np.int64),
            coords=np.zeros((3, 3), np.int64),
            loss=np.zeros(3, bool),
            patches=np.zeros((0, 3), np.float32),
            codes=np.zeros((0, 2), np.int64),
        )


def batch_of_one_row() -> OmniBatch:
    return OmniBatch(
        modality=torch.tensor([[0, 1, 2, PADDING]], dtype=torch.uint8),
        text_ids=torch.tensor([[5, 0, 0, 0]]),
        coords=torch.zeros(1, 4, 3, dtype=torch.int64),
        loss=torch.tensor([[True, True, True, False]]),
        patches=torch.zeros(1, 3),
        codes=torch.zeros(1, 2, dtype=torch.int64),
        lengths=(3, 1),
        targets=torch.tensor([0, 1, 1]),
        step_positions=3,
        keys=("000007",),
    )


def test_to_moves_every_tensor_and_keeps_the_rest() -> None:
    batch = batch_of_one_row()
    moved = batch.to("meta")
    for field in fields(OmniBatch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        if isinstance(before, torch.Tensor):
            assert (after.device.type, after.shape, after.dtype) == ("meta", before.shape, before.dtype)
        else:
            assert after == before, field.name
    assert batch.text_ids.device.type == "cpu"


def test_positions_of_a_modality() -> None:
    batch = batch_of_one_row()
    assert [batch.of(m).int().tolist() for m in (TEXT, IMAGE, AUDIO)] == [
        [[1, 0, 0, 0]],
        [[0, 1, 0, 0]],
        [[0, 0, 1, 0]],
    ]
    assert batch.real.int().tolist() == [[1, 1, 1, 0]]


def test_a_part_has_what_lies_in_its_positions() -> None:
    """Two rows: documents of 3 and 1 positions, and of 2 and 2; a picture's patches, then a frame."""
    batch = OmniBatch(
        modality=torch.tensor([[0, 1, 1, 0], [2, 0, 0, PADDING]], dtype=torch.uint8),
        text_ids=torch.arange(8).view(2, 4),
        coords=torch.arange(24).view(2, 4, 3),
        loss=torch.ones(2, 4, dtype=torch.bool),
        patches=torch.tensor([[10.0], [11.0]]),
        codes=torch.tensor([[7]]),
        lengths=(3, 1, 2, 2),
        targets=torch.tensor([3, 2, 1]),
        keys=("a", "b", "c", ""),
    )
    first, second = batch.part(slice(0, 2)), batch.part(slice(2, 4))
    assert [part.patches.tolist() for part in (first, second)] == [[[10.0]], [[11.0]]]
    assert [part.codes.tolist() for part in (first, second)] == [[[7]], []]
    assert [part.lengths for part in (first, second)] == [(2, 2), (1, 1, 2)]  # the first document is cut
    assert [part.keys for part in (first, second)] == [("a", "c"), ("a", "b", "")]
    assert second.text_ids.tolist() == [[2, 3], [6, 7]]
    assert second.targets.tolist() == [3, 2, 1]  # still those of the step
