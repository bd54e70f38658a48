"""Turns, their ratios, and the allocator's peak."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.peak_memory import peak_bytes
from benchmarks.turns import Times, take_turns


def test_ratios_are_medians_over_rounds() -> None:
    times = Times({"a": [1.0, 2.0, 9.0], "b": [2.0, 1.0, 3.0]})
    assert times.median("a") == 2.0
    assert times.ratio("a", "b") == 2.0  # of 0.5, 2 and 3
    assert times.spread("a", "b") == (0.5, 3.0)


@pytest.mark.parametrize("clock", ["cpu", "wall"])
def test_all_take_turns_forwards_and_backwards_and_the_first_round_does_not_count(clock: str) -> None:
    taken: list[str] = []
    torch.set_num_threads(2)
    times = take_turns({name: partial(taken.append, name) for name in "ab"}, clock, rounds=2)
    assert "".join(taken) == "abbaab"
    assert [len(seconds) for seconds in times.seconds.values()] == [2, 2]
    assert torch.get_num_threads() == 2


def test_the_peak_is_of_what_lives_at_once() -> None:
    def work() -> None:
        first = torch.zeros(1 << 20)
        second = torch.ones(1 << 20)
        del first
        torch.zeros(1 << 19)
        del second

    assert peak_bytes(work) == 8 << 20
