"""Rotary positions: worked angles, and what attention sees of them: differences on each axis."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.nn.rotary import Rotary, rotate


def turned(x_C: Tensor, coords: tuple[int, int, int], base: float = 100.0) -> Tensor:
    """One head at one position, turned."""
    rotation = Rotary(len(x_C), base)(torch.tensor(coords).view(1, 1, 3))
    return rotate(x_C.view(1, 1, 1, -1), rotation).flatten()


def test_worked_angles() -> None:
    """Pair 0 turns with time at frequency 1, pair 1 with the row at 100^(-1/3), pair 2 with the column at
    100^(-2/3)."""
    cos, sin = Rotary(6, 100.0)(torch.tensor([[[1, 2, 3]]]))
    angle = torch.tensor([1.0, 2 * 0.215443, 3 * 0.0464159])
    torch.testing.assert_close(cos[0, 0], angle.cos())
    torch.testing.assert_close(sin[0, 0], angle.sin())


def test_worked_turn() -> None:
    """Channel i is paired with channel i + C/2: (1, 0) by angle a becomes (cos a, sin a)."""
    out = turned(torch.tensor([1.0, 0, 0, 0, 0, 0]), (2, 0, 0))
    expected = torch.tensor([2.0]).cos().item(), torch.tensor([2.0]).sin().item()
    torch.testing.assert_close(out, torch.tensor([expected[0], 0, 0, expected[1], 0, 0]))


def test_every_axis_has_high_and_low_frequencies() -> None:
    """With 8 pairs the axes get 3, 3 and 2 of them, in turn."""
    axis_of_pair = []
    for pair in range(8):
        probe = torch.zeros(16)
        probe[pair] = 1.0
        moved = [
            axis
            for axis, coords in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
            if not turned(probe, coords).equal(probe)
        ]
        axis_of_pair.extend(moved)
    assert axis_of_pair == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["time", "row", "column"])
def test_attention_sees_differences_only(axis: int) -> None:
    q, k = torch.randn(2, 12, dtype=torch.float64)

    def moved_to(place: int) -> tuple[int, int, int]:
        return (place if axis == 0 else 7, place if axis == 1 else 7, place if axis == 2 else 7)

    def score(of_q: int, of_k: int) -> float:
        return float(turned(q, moved_to(of_q)) @ turned(k, moved_to(of_k)))

    near, moved, far = score(5, 3), score(105, 103), score(105, 3)
    assert near == pytest.approx(moved, abs=1e-4)  # angles are fp32
    assert near != pytest.approx(far, abs=1e-2)


def test_the_origin_turns_nothing_and_no_turn_changes_length() -> None:
    x = torch.randn(12)
    assert turned(x, (0, 0, 0)).equal(x)
    torch.testing.assert_close(turned(x, (31, 4, 15)).norm(), x.norm())
