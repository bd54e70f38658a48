"""How answers end before their time: cancelled, late, or with the model."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from omni.inference.request import Request
from omni.modality import ModalityName
from omni.model import OmniTransformer
from omni.sequence import Audio, Image
from tests.inference.asking import GREEDY, MIXED, PROMPTS, endless, engine_of, text_of
from tests.tiny_model import tiny_model


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
