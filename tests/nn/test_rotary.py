"""Rotary positions: worked angles, what attention sees of them (differences on each axis), and YaRN."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from omni.nn.context_config import RopeConfig, YarnConfig
from omni.nn.rotary import Rotary, frequencies, rotate, sharpening

PLAIN = YarnConfig()


def turned(
    x_C: Tensor, coords: tuple[int, int, int], base: float = 100.0, yarn: YarnConfig = PLAIN
) -> Tensor:
    """One head at one position, turned."""
    rotation = Rotary(len(x_C), RopeConfig(base=base, yarn=yarn))(torch.tensor(coords).view(1, 1, 3))
    return rotate(x_C.view(1, 1, 1, -1), rotation).flatten()


def test_worked_angles() -> None:
    """Pair 0 turns with time at frequency 1, pair 1 with the row at 100^(-1/3), pair 2 with the column at
    100^(-2/3)."""
    cos, sin = Rotary(6, RopeConfig(base=100.0))(torch.tensor([[[1, 2, 3]]]))
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


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
@pytest.mark.parametrize(
    ("channels", "length", "factor"), [(64, 4096, 4.0), (128, 4096, 32.0), (32, 1024, 16.0)]
)
def test_yarn_has_the_frequencies_of_transformers(
    base: float, channels: int, length: int, factor: float
) -> None:
    """Text advances all axes together, so for it the pairs of all three are one set of plain frequencies."""
    pytest.importorskip("transformers")
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    settings: dict[str, Any] = {
        "hidden_size": 4 * channels,
        "num_attention_heads": 4,
        "max_position_embeddings": round(length * factor),
        "rope_theta": base,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": length,
            "rope_theta": base,
        },
    }
    theirs = LlamaConfig(**settings)
    expected, attention_factor = ROPE_INIT_FUNCTIONS["yarn"](theirs, "cpu")
    yarn = YarnConfig(factor=factor, original_length=length)
    torch.testing.assert_close(frequencies(channels // 2, RopeConfig(base=base, yarn=yarn)), expected)
    assert sharpening(yarn) == pytest.approx(attention_factor)


def test_worked_yarn() -> None:
    """16 pairs, base 10,000, 1,024 positions to 4,096. Pair i does 1024 / (2 pi) / 10000^(i/16) turns: 163 for the
    first, 29 for the fourth, 0.92 for the tenth. So pairs 0 to 2 stay, those from 9 on turn a quarter as fast, and
    the six between lie on a line."""
    rope = RopeConfig(yarn=YarnConfig(factor=4.0, original_length=1024))
    share = frequencies(16, rope) / frequencies(16, RopeConfig())
    between = [1 - 0.75 * step / 7 for step in range(1, 7)]
    torch.testing.assert_close(share, torch.tensor([1.0, 1, 1, *between, *[0.25] * 7]))


def test_a_factor_of_one_changes_nothing() -> None:
    coords = torch.randint(0, 5000, (2, 7, 3))
    plain = Rotary(24, RopeConfig())(coords)
    same = Rotary(24, RopeConfig(yarn=YarnConfig(factor=1.0, original_length=64)))(coords)
    for before, after in zip(plain, same, strict=True):
        assert before.equal(after)


def test_yarn_sharpens_attention_and_keeps_the_places_inside_a_picture() -> None:
    """Scores grow by (0.1 ln s + 1)^2, and near positions look as they did to the pairs that turn fast."""
    yarn = YarnConfig(factor=16.0, original_length=1024)
    q = torch.randn(24)
    at_origin = turned(q, (0, 0, 0), yarn=yarn)
    torch.testing.assert_close(at_origin, q * (0.1 * math.log(16) + 1))
    fast = frequencies(12, RopeConfig(yarn=yarn))[:3]
    assert fast.equal(frequencies(12, RopeConfig())[:3]), "one pair of each axis at least"


def test_no_pair_of_any_axis_turns_further_than_it_was_trained_to() -> None:
    """Why all axes are slowed down: behind 16K tokens of text the row and the column stand at 16K as well."""
    yarn = YarnConfig(factor=16.0, original_length=1024)
    before, after = frequencies(24, RopeConfig()) * 1024, frequencies(24, RopeConfig(yarn=yarn)) * 16 * 1024
    unfinished = before < 2 * math.pi
    assert unfinished[0::3].any() and unfinished[1::3].any() and unfinished[2::3].any()
    assert (after[unfinished] <= before[unfinished] * 1.0001).all()
