"""What the engine says while it answers, and at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omni.inference.request import Finished, Picture, Request, SoundPiece, TextPiece
from omni.model import OmniTransformer
from omni.sequence import Audio, Image
from tests.inference.asking import GREEDY, MIXED, PROMPTS, Scripted, engine_of, ids, text_of
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_model


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
