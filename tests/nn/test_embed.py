"""What enters the stream at each position."""

from __future__ import annotations

import torch

from omni.nn.embed import Embed
from tests.tiny_model import VOCABULARY


def test_worked_batch() -> None:
    """Two rows: ``text patch frame padding`` and ``frame text patch patch``."""
    embed = Embed(8, VOCABULARY)
    modality = torch.tensor([[0, 1, 2, 255], [2, 0, 1, 1]])
    patches = torch.randn(3, 4)
    places = [[0, 0], [1, 2], [2, 0]]  # row and column of each patch in its picture
    codes = torch.tensor([[1, 2, 3], [4, 0, 4]])
    x = embed(
        torch.tensor([[5, 0, 0, 0], [0, 7, 0, 0]]),
        modality == 0,
        modality == 1,
        modality == 2,
        patches,
        torch.tensor(places),
        codes,
    )
    text, code = embed.text.weight, embed.codes.weight
    projected = [
        embed.patch.weight @ patch + embed.patch.bias + embed.row.weight[row] + embed.col.weight[col]
        for patch, (row, col) in zip(patches, places, strict=True)
    ]
    # codebook k has the rows k * Q .. k * Q + Q - 1 of the table, here Q = 5
    frames = [code[1] + code[5 + 2] + code[10 + 3], code[4] + code[5 + 0] + code[10 + 4]]
    expected = [
        [text[5], projected[0], frames[0], torch.zeros(8)],
        [frames[1], text[7], projected[1], projected[2]],
    ]
    torch.testing.assert_close(x, torch.stack([torch.stack(row) for row in expected]))


def test_absent_modalities_get_a_gradient_of_zeros() -> None:
    """Every rank must have a gradient for every weight, or ranks that read other modalities would hang."""
    embed = Embed(8, VOCABULARY)
    text = torch.ones(1, 3, dtype=torch.bool)
    none = ~text
    ids, places, codes = (torch.zeros(shape, dtype=torch.long) for shape in ((1, 3), (0, 2), (0, 3)))
    embed(ids, text, none, none, torch.zeros(0, 4), places, codes).sum().backward()
    reached = {name: p.grad is not None and bool(p.grad.any()) for name, p in embed.named_parameters()}
    assert all(p.grad is not None for p in embed.parameters())
    assert [name for name, any_gradient in reached.items() if any_gradient] == ["text.weight"]
