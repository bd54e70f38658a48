"""The engine: requests come and go, each is answered as if it were alone, and by its own settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine, Handle
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, Picture, Request, SoundPiece, TextPiece
from omni.modality import ModalityName
from omni.model import OmniTransformer
from omni.sequence import Audio, Image, Text
from tests.inference.test_generate import DRAWN, GREEDY, PROMPTS, Scripted, ids, same
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model

LONG = replace(DRAWN, max_text=400)
MIXED: list[Request] = [
    Request(prompt=PROMPTS["picture and clip"], want="text", options=replace(DRAWN, seed=1)),
    Request(prompt=PROMPTS["text"], want="image", options=replace(DRAWN, seed=2, image_guidance=2.0)),
    Request(prompt=PROMPTS["picture"], want="audio", options=replace(DRAWN, seed=3, audio_temperature=0.0)),
    Request(prompt=PROMPTS["clip"], want="text", options=replace(DRAWN, seed=4, top_k=5, temperature=0.5)),
    Request(prompt=PROMPTS["text"], want="text", options=replace(GREEDY, max_text=40)),
    Request(prompt=PROMPTS["clip"], want="image", options=replace(DRAWN, seed=5, image_steps=2)),
    Request(prompt=[Text("one plus ")], want="text", options=replace(DRAWN, min_p=0.1), chat=False),
]
"""Every modality, guided and not, with settings that differ."""


@pytest.fixture(scope="module")
def model() -> OmniTransformer:
    return tiny_model()


def engine_of(model: OmniTransformer, **sizes: Any) -> Engine:
    return Engine(model, tiny_tokenizers(), EngineConfig(**sizes))


def alone(model: OmniTransformer, request: Request) -> Finished:
    return engine_of(model).submit(request).result()


def text_of(finished: Finished) -> str:
    return "".join(segment.text for segment in finished.segments if isinstance(segment, Text))


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize(("slots", "chunk"), [(2, 512), (3, 4), (16, 7)])
def test_an_answer_is_the_same_whatever_is_beside_it(model: OmniTransformer, slots: int, chunk: int) -> None:
    """Few slots, so that requests wait for each other, and prompts in chunks while others decode."""
    engine = engine_of(model, slots=slots, chunk=chunk)
    handles: list[Handle] = []
    for request in MIXED:
        handles.append(engine.submit(request))
        engine.step()
        engine.step()
    for request, handle in zip(MIXED, handles, strict=True):
        assert same(handle.result().segments, alone(model, request).segments), request
    assert engine._batcher.free == slots
    assert not engine.step()


def test_a_long_prompt_comes_while_others_are_answered(model: OmniTransformer) -> None:
    """The cache grows under the rows that are in it."""
    engine = engine_of(model, slots=2)
    options = replace(GREEDY, max_text=30)
    first = Request(prompt=PROMPTS["text"], want="text", options=options)
    long = Request(prompt=[Text("which digit? " * 40)], want="text", options=options)
    handles = [engine.submit(first)]
    for _ in range(5):
        engine.step()
    handles.append(engine.submit(long))
    for request, handle in zip((first, long), handles, strict=True):
        assert same(handle.result().segments, alone(model, request).segments)
    assert engine._batcher.cache.capacity > 300


def logits_of(engine: Engine, requests: list[Request], watched: int) -> list[torch.Tensor]:
    """What the text head said for one of the requests, choice by choice."""
    found: list[torch.Tensor] = []
    handles = [engine.submit(request) for request in requests]
    row, drawer = handles[watched].row, engine._batcher.drawer
    original = drawer._text

    def watch(rows: list[Any], hidden_BD: torch.Tensor) -> None:
        if row in rows:
            logits = drawer.model.text_head(drawer._padded(hidden_BD))
            found.append(logits[rows.index(row)].clone())
        original(rows, hidden_BD)

    drawer._text = watch  # type: ignore[method-assign]
    for handle in handles:
        handle.result()
    return found


@pytest.mark.parametrize("watched", [0, 4])
def test_with_a_fixed_shape_not_a_bit_depends_on_the_others(watched: int) -> None:
    model = tiny_model()
    sizes: dict[str, Any] = {"slots": 8, "chunk": 16, "positions": 96, "fixed": True}
    expected = logits_of(engine_of(model, **sizes), [MIXED[watched]], 0)
    with_others = logits_of(engine_of(model, **sizes), MIXED, watched)
    assert len(expected) == len(with_others) > 5
    for one, other in zip(expected, with_others, strict=True):
        assert torch.equal(one, other)


def test_logits_equal_those_of_the_uncached_model(model: OmniTransformer) -> None:
    engine = engine_of(model, slots=3, chunk=5)
    got = logits_of(engine, [MIXED[4], *MIXED], 0)
    row = engine_of(model).submit(MIXED[4])
    row.result()
    whole = engine.layout.finish(row.row.builder, "answer")
    with torch.no_grad():
        logits = model.text_head(model(collate([[whole]])).x_BSD[0])[row.row.prompt_length - 1 : -1]
    torch.testing.assert_close(torch.stack(got), logits, rtol=0, atol=1e-4)


def test_weights_in_bf16_answer_in_every_modality() -> None:
    model = tiny_model().to(torch.bfloat16)
    for request in MIXED:
        assert alone(model, request).segments


# ------------------------------------------------------------------ events


def test_text_streams_and_adds_up(model: OmniTransformer) -> None:
    events = list(engine_of(model).submit(replace(MIXED[4], stream=True)))
    last = events.pop()
    assert isinstance(last, Finished)
    pieces = [event.text for event in events if isinstance(event, TextPiece)]
    assert len(pieces) == len(events) > 3
    assert "".join(pieces) == text_of(last)


def test_sound_streams_in_chunks_while_it_is_made(model: OmniTransformer) -> None:
    request = Request(prompt=PROMPTS["text"], want="audio", options=GREEDY, stream=True)
    engine = engine_of(model)
    handle = engine.submit(request)
    events = list(handle)
    last, sounds = events[-1], [event for event in events if isinstance(event, SoundPiece)]
    assert isinstance(last, Finished)
    (clip,) = last.segments
    assert isinstance(clip, Audio)
    assert clip.codes is not None
    assert len(sounds) == -(-len(clip.codes) // 5) + (len(clip.codes) % 5 == 0)
    assert [piece.ends for piece in sounds] == [False] * (len(sounds) - 1) + [True]
    codec = tiny_tokenizers().audio
    stream = codec.stream()
    whole = np.concatenate([stream.push(clip.codes), stream.flush()])
    np.testing.assert_array_equal(np.concatenate([piece.waveform for piece in sounds]), whole)


def test_a_mixed_answer_streams_in_its_order(model: OmniTransformer) -> None:
    mine = tiny_model()
    script = ids("three", "<|image|>", 2, 1, "<|audio|>", "one", "<|end|>")
    mine.text_head = Scripted(script)  # type: ignore[assignment]
    request = Request(prompt=PROMPTS["text"], options=replace(GREEDY, max_text=30), stream=True)
    events = list(engine_of(mine).submit(request))
    kinds = [type(event) for event in events]
    assert [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] is not kind] == [
        TextPiece, Picture, SoundPiece, TextPiece, Finished,
    ]  # fmt: skip
    last = events[-1]
    assert isinstance(last, Finished)
    drawn = next(event.image for event in events if isinstance(event, Picture))
    answered = last.segments[1]
    assert isinstance(answered, Image)
    np.testing.assert_array_equal(drawn.pixels, answered.pixels)
    assert [event.text for event in events if isinstance(event, TextPiece)][-1].endswith("one"[-1:])


def test_without_stream_only_the_answer_comes(model: OmniTransformer) -> None:
    (event,) = engine_of(model).submit(MIXED[0])
    assert isinstance(event, Finished)
    assert event.prompt_positions > 5
    assert event.positions > 0


# ------------------------------------------------------------------ settings


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
    options = replace(LONG, logit_bias={tiny_tokenizers().text.end: -100.0})
    request = Request(prompt=PROMPTS["text"], want="text", options=options)
    finished = engine_of(model, positions=50).submit(request).result()
    assert finished.reason == "length"
    assert finished.prompt_positions + finished.positions == 50


# ------------------------------------------------------------------ ends


def endless(want: ModalityName = "text", **settings: Any) -> Request:
    options = replace(LONG, logit_bias={tiny_tokenizers().text.end: -100.0}, max_audio_seconds=60.0)
    return Request(prompt=PROMPTS["text"], want=want, options=options, **settings)


def test_cancelling_frees_the_slot_at_once_and_keeps_what_was_said(model: OmniTransformer) -> None:
    engine = engine_of(model, slots=2)
    first, second = engine.submit(endless()), engine.submit(endless())
    waiting = engine.submit(endless())
    for _ in range(10):
        engine.step()
    first.cancel()
    waiting.cancel()
    assert engine._batcher.free == 1
    finished = first.result()
    assert finished.reason == "cancelled"
    assert finished.positions == 10
    assert text_of(finished)
    assert waiting.result().positions == 0
    engine.step()
    second.cancel()
    assert not engine.step()


@pytest.mark.parametrize(
    ("want", "steps"),
    [("audio", steps) for steps in range(4)] + [("image", steps) for steps in (0, 1, 2, 3, 4, 9)],
)
def test_an_answer_can_be_cut_anywhere(model: OmniTransformer, want: ModalityName, steps: int) -> None:
    """A clip is closed, an unfinished picture is left out."""
    engine = engine_of(model)
    options = replace(GREEDY, grid=(4, 4), max_audio_seconds=60.0, image_guidance=2.0)
    handle = engine.submit(Request(prompt=PROMPTS["picture"], want=want, options=options, stream=True))
    for _ in range(steps):
        engine.step()
    handle.cancel()
    finished = handle.result()
    assert finished.reason == "cancelled"
    assert engine._batcher.free == engine.config.slots
    clips = [segment for segment in finished.segments if isinstance(segment, Audio)]
    assert bool(clips) == (want == "audio" and steps >= 2)
    assert not any(isinstance(segment, Image) for segment in finished.segments)


def test_a_deadline_cuts_the_answer(model: OmniTransformer) -> None:
    engine = engine_of(model)
    handle = engine.submit(endless(seconds=0.05))
    other = engine.submit(MIXED[0])
    time.sleep(0.06)
    assert handle.result().reason == "deadline"
    assert other.result().reason != "deadline"
    with pytest.raises(ValueError, match=r"seconds .* must be positive, got 0"):
        endless(seconds=0.0)


def test_a_failing_model_is_told_to_whoever_waits(model: OmniTransformer) -> None:
    broken = tiny_model()
    engine = engine_of(broken)
    handles = [engine.submit(endless()) for _ in range(2)]
    engine.step()
    original, broken.text_head = broken.text_head, torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(Exception):  # noqa: B017  whatever it is
        engine.step()
    for handle in handles:
        with pytest.raises(RuntimeError, match="the model failed while it answered"):
            handle.result()
    broken.text_head = original
    assert engine.submit(MIXED[0]).result().segments


# ------------------------------------------------------------------ threads


@pytest.fixture
def running(model: OmniTransformer) -> Iterator[Engine]:
    with engine_of(model, slots=4) as engine:
        yield engine


def test_threads_ask_an_engine_that_runs_in_one(model: OmniTransformer, running: Engine) -> None:
    answers: dict[int, Finished] = {}

    def ask(number: int) -> None:
        answers[number] = running.submit(MIXED[number]).result()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(MIXED))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, request in enumerate(MIXED):
        assert same(answers[number].segments, alone(model, request).segments), number


def test_a_running_engine_can_be_cancelled_and_closed(model: OmniTransformer) -> None:
    with engine_of(model, slots=2) as engine:
        first, second = engine.submit(endless(stream=True)), engine.submit(endless())
        next(iter(first))
        first.cancel()
        assert first.result().reason == "cancelled"
        assert second.finished is None
    assert second.result().reason == "cancelled"
    assert not engine.in_thread
    assert engine.submit(MIXED[4]).result().reason != "cancelled"  # driven by this thread again


def test_generate_batch_shares_the_engine(model: OmniTransformer) -> None:
    omni = Omni(model, tiny_tokenizers())
    (answer,) = omni.generate_batch([PROMPTS["text"]], "text", MIXED[4].options)
    assert same(answer, alone(model, MIXED[4]).segments)
