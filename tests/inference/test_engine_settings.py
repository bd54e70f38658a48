"""Each request is answered by its own settings; what can not be is refused at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, Request
from omni.model import OmniTransformer
from omni.sequence import Image, Text
from tests.inference.asking import DRAWN, GREEDY, MIXED, PROMPTS, Scripted, endless, engine_of, ids, text_of
from tests.tiny_model import tiny_model


def scripted_answer(words: list[str | int], **settings: Any) -> Finished:
    model = tiny_model()
    model.text_head = Scripted(ids(*words))  # type: ignore[assignment]
    options = replace(GREEDY, max_text=40, **settings)
    return engine_of(model).submit(Request(prompt=PROMPTS["text"], want="text", options=options)).result()


def test_reasons_say_why_an_answer_is_over() -> None:
    assert scripted_answer(["one", "<|end|>"]).reason == "end"
    stopped = scripted_answer(["one two three four", "<|end|>"], stop=("three",))
    assert (stopped.reason, text_of(stopped)) == ("stop", "one two ")
    assert scripted_answer(["one two three four" * 10]).reason == "length"


def test_logprobs_are_those_of_the_model_before_settings(model: OmniTransformer) -> None:
    options = replace(DRAWN, logprobs=True, top_logprobs=3, temperature=2.0, logit_bias={5: 4.0})
    handle = engine_of(model).submit(Request(prompt=PROMPTS["text"], want="text", options=options))
    finished = handle.result()
    whole = handle.engine.layout.finish(handle.row.builder, "answer")
    with torch.no_grad():
        logits = model.text_head(model(collate([[whole]])).x_BSD[0]).log_softmax(-1)
    logits = logits[handle.row.prompt_length - 1 : -1]
    tokens = [said.token for said in finished.logprobs]
    assert tokens == handle.row.builder.text_ids[handle.row.prompt_length :]
    expected = logits[torch.arange(len(tokens)), tokens]
    torch.testing.assert_close(
        torch.tensor([said.logprob for said in finished.logprobs]), expected, rtol=0, atol=1e-4
    )
    likeliest = logits.topk(3).indices.tolist()
    assert [[token for token, _ in said.top] for said in finished.logprobs] == likeliest


def test_a_bias_forces_or_forbids_a_token(model: OmniTransformer) -> None:
    token = ids("one")[0]
    for bias, holds in ((100.0, True), (-100.0, False)):
        options = replace(DRAWN, temperature=5.0, logit_bias={token: bias})
        handle = engine_of(model).submit(Request(prompt=PROMPTS["text"], want="text", options=options))
        handle.result()
        assert (token in handle.row.builder.text_ids[handle.row.prompt_length :]) is holds


def test_a_heavy_penalty_forbids_repetition(model: OmniTransformer) -> None:
    options = replace(GREEDY, max_text=40, repetition_penalty=1e6)
    handle = engine_of(model).submit(Request(prompt=PROMPTS["text"], want="text", options=options))
    handle.result()
    said = handle.row.builder.text_ids[handle.row.prompt_length :]
    assert len(said) == len(set(said)) > 10
    assert not set(said) & set(ids("which digit?"))


def test_a_forced_grid_is_what_comes(model: OmniTransformer) -> None:
    for grid in ((1, 4), (3, 2)):
        request = Request(prompt=PROMPTS["text"], want="image", options=replace(DRAWN, grid=grid))
        (drawn,) = engine_of(model).submit(request).result().segments
        assert isinstance(drawn, Image)
        assert drawn.pixels.shape[:2] == (grid[0] * 4, grid[1] * 4)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (
            {"options": SamplingOptions(grid=(5, 4))},
            r"grid 5 x 4: this model draws at most 16 patches, and 8",
        ),
        (
            {"options": SamplingOptions(logit_bias={330: 1.0})},
            r"tokens \[330\] are not in the vocabulary of 330",
        ),
        ({"prompt": [Text("one" * 200)]}, "a prompt of 404 positions, but prompt and answer have 96 at most"),
        ({"prompt": [], "chat": False}, "an empty prompt can't be continued"),
    ],
)
def test_what_can_not_be_answered_is_refused_at_once(
    model: OmniTransformer, request_: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        engine_of(model, positions=96).submit(Request(**({"prompt": PROMPTS["text"]} | request_)))


def test_guided_answers_need_two_slots(model: OmniTransformer) -> None:
    with pytest.raises(ValueError, match="a guided answer takes 2 slots, but the engine has 1"):
        engine_of(model, slots=1).submit(MIXED[1])


def test_an_answer_ends_where_the_positions_do(model: OmniTransformer) -> None:
    finished = engine_of(model, positions=50).submit(endless()).result()
    assert finished.reason == "length"
    assert finished.prompt_positions + finished.positions == 50
