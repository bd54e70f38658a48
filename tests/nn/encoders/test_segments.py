"""Which positions an encoder reads, and that segments pass it one by one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.collate import collate
from omni.modality import AUDIO, IMAGE
from omni.nn.encoders.segments import one_by_one, read_positions, run_lengths
from omni.sequence import Document, Image, Text
from tests.tiny import picture
from tests.tiny_model import sequences_of


def test_what_is_asked_is_read_and_what_is_answered_is_not() -> None:
    """``[user: 1 x 2 patches] [assistant: 2 x 1 patches]``, one character a position."""
    asked, drawn = picture(1, 4, 8), picture(2, 8, 4)
    document = Document(
        (
            Image(asked, role="user", loss=False),
            Text("a", role="user", loss=False),
            Image(drawn, role="assistant"),
        )
    )
    batch = collate([sequences_of([document])])
    shown = "".join("R" if read else "." for read in read_positions(batch, IMAGE)[0].tolist())
    # <|begin|> <|user|> <|image|> size size P P <|/image|> a <|end|> <|assistant|> <|image|> size size P P ...
    assert shown == ".....RR..........."
    assert not read_positions(batch, AUDIO).any()


def test_run_lengths() -> None:
    marked = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]], dtype=torch.bool)
    assert run_lengths(marked) == [2, 1, 3]
    assert run_lengths(~marked) == [1, 1]
    assert run_lengths(torch.zeros(2, 3, dtype=torch.bool)) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_each_segment_passes_alone_and_comes_back_to_its_place(lengths: list[int]) -> None:
    """What is run mixes all positions that it sees, so a neighbour's would show."""
    rows = torch.arange(float(2 * sum(lengths))).view(-1, 2)
    calls: list[int] = []

    def totals(x_BLH: torch.Tensor) -> torch.Tensor:
        calls.append(x_BLH.shape[1])
        return x_BLH.sum(1, keepdim=True).expand_as(x_BLH)

    expected = torch.cat([part.sum(0, keepdim=True).expand_as(part) for part in rows.split(lengths)])
    torch.testing.assert_close(one_by_one(rows, lengths, totals), expected)
    assert sorted(calls) == sorted(set(lengths)), "one call for each length"
