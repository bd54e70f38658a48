"""What the settings of a task mean here, and where an answer ends."""

from __future__ import annotations

from typing import Any

import pytest

from omni.evaluation.harness.generation import continued, options_of
from omni.inference.omni import Omni
from omni.sequence import Text
from tests.inference.asking import Scripted, ids
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, ()), ([], ()), ("", ()), ([""], ()),
        ("\n", ("\n",)), (["Q:", "", "\n"], ("Q:", "\n")),
    ],
)  # fmt: skip
def test_stop_strings(until: str | list[str] | None, expected: tuple[str, ...]) -> None:
    assert options_of({"until": until}).stop == expected


def test_settings() -> None:
    assert options_of({}).temperature == 0 and options_of({}).max_text == 256
    sampled = options_of({"temperature": 0.7, "top_p": 0.9, "top_k": 5, "max_new_tokens": 12, "until": ["x"]})
    assert (sampled.temperature, sampled.top_p, sampled.top_k, sampled.max_text) == (0.7, 0.9, 5, 12)
    assert options_of({"do_sample": False, "temperature": 0.7}).temperature == 0
    assert options_of({"temperature": None, "top_p": None, "max_gen_toks": 3}).max_text == 3


@pytest.mark.parametrize(("until", "said"), [([], "one two three"), (["three", "two"], "one "), (["o"], "")])
def test_nothing_is_generated_behind_a_stop_string(until: list[str], said: str) -> None:
    """The script ends an answer at its end: whoever goes on behind a stop string runs out of it."""
    script = ids("one two three")
    model = tiny_model()
    written = Scripted(script if not until else script[: len(ids("one two"))])
    model.text_head = written  # type: ignore[assignment]
    settings: dict[str, Any] = {"until": until, "max_gen_toks": len(script)}
    assert continued(Omni(model, tiny_tokenizers()), [([Text("which?")], settings)], True, 2) == [said]
