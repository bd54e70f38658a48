"""What the settings of a task mean here, and where an answer is cut."""

from __future__ import annotations

import pytest

from omni.evaluation.harness.generation import cut, options_of


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, "a\nQ: b."), ([], "a\nQ: b."), ("\n", "a"), (["Q:", "\n"], "a"),
        (["x"], "a\nQ: b."), ([""], "a\nQ: b."), (["a"], ""),
    ],
)  # fmt: skip
def test_stop_strings(until: str | list[str] | None, expected: str) -> None:
    assert cut("a\nQ: b.", until) == expected


def test_settings() -> None:
    assert options_of({}).temperature == 0 and options_of({}).max_text == 256
    sampled = options_of({"temperature": 0.7, "top_p": 0.9, "top_k": 5, "max_new_tokens": 12, "until": ["x"]})
    assert (sampled.temperature, sampled.top_p, sampled.top_k, sampled.max_text) == (0.7, 0.9, 5, 12)
    assert options_of({"do_sample": False, "temperature": 0.7}).temperature == 0
    assert options_of({"temperature": None, "top_p": None, "max_gen_toks": 3}).max_text == 3
