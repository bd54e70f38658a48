"""Decks give everything once before anything comes again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from omni.datamodules.demo.deck import Deck, GroupedDeck, named_rng


def test_nothing_comes_again_before_all_have_come() -> None:
    deck = Deck("abcde", np.random.default_rng(0))
    rounds = ["".join(deck.draw() for _ in range(5)) for _ in range(4)]
    assert {"".join(sorted(letters)) for letters in rounds} == {"abcde"}
    assert len(set(rounds)) > 1


def test_groups_can_be_drawn_from_evenly() -> None:
    deck = GroupedDeck(["a1", "a2", "a3", "a4", "b1"], lambda item: item[0], np.random.default_rng(0))
    assert Counter(deck.draw() for _ in range(10)) == {"a1": 2, "a2": 2, "a3": 2, "a4": 2, "b1": 2}
    assert Counter(deck.draw_balanced() for _ in range(8)) == {"a1": 1, "a2": 1, "a3": 1, "a4": 1, "b1": 4}
    assert {deck.draw_of("b") for _ in range(3)} == {"b1"}


def test_an_empty_deck_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        Deck([], np.random.default_rng(0))


def test_each_name_has_its_own_randomness() -> None:
    draws = {
        rng.integers(1 << 60)
        for rng in [named_rng(0, "a"), named_rng(0, "b"), named_rng(1, "a"), named_rng(0, "a", "b")]
    }
    assert len(draws) == 4
    assert named_rng(0, "a").integers(1 << 60) in draws
