"""Passages have a readable length, and nothing of a held-out topic or module is in training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omni.datamodules.demo.prose import MAX_CHARS, MIN_CHARS, Passage, code_passages, prose_passages
from omni.datamodules.demo.split import Split

Maker = Callable[[int], Split[Passage]]
both = pytest.mark.parametrize("passages", [prose_passages, code_passages])


def long_paragraphs(passages: tuple[Passage, ...]) -> set[str]:
    paragraphs = {" ".join(part.split()) for passage in passages for part in passage.text.split("\n\n")}
    return {paragraph for paragraph in paragraphs if len(paragraph) >= 60}


@both
def test_passages_have_a_readable_length(passages: Maker) -> None:
    split = passages(0)
    lengths = [len(passage.text) for passage in split.train + split.heldout]
    assert min(lengths) >= MIN_CHARS and max(lengths) <= MAX_CHARS
    assert 400 < sum(lengths) / len(lengths) < MAX_CHARS


@both
def test_a_tenth_of_the_text_is_held_out(passages: Maker) -> None:
    for seed in range(5):
        split = passages(seed)
        assert 0.07 < len(split.heldout) / len(split.train + split.heldout) < 0.2


@both
def test_whole_origins_and_all_they_say_are_held_out(passages: Maker) -> None:
    split = passages(0)
    assert {p.origin for p in split.train}.isdisjoint(p.origin for p in split.heldout)
    assert long_paragraphs(split.train).isdisjoint(long_paragraphs(split.heldout))


@both
def test_the_seed_chooses_what_is_held_out(passages: Maker) -> None:
    assert passages(0) == passages(0)
    assert passages(0).heldout != passages(1).heldout
