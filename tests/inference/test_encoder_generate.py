"""Generation with encoders, and without heads: prompts are read whole, whatever the chunk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.batcher import Batcher, EngineConfig
from omni.inference.engine import Engine
from omni.inference.lane import Lane
from omni.inference.omni import Omni
from omni.inference.request import Request
from omni.inference.row import Phase
from omni.layout import SequenceBuilder
from omni.modality import IMAGE, ModalityName
from omni.nn.config import AudioHeadConfig, ImageHeadConfig
from omni.nn.encoders.segments import read_positions
from omni.sequence import Image, Segment, Text
from tests.inference.test_generate import (
    DRAWN,
    GREEDY,
    PROMPTS,
    assert_cached_equals_whole,
    ids,
    outputs_of,
    row_of,
    same,
    scripted,
)
from tests.nn.encoders.encoder_model import tiny_encoders
from tests.tiny import picture, tiny_tokenizers
from tests.tiny_model import tiny_model


@pytest.fixture
def omni() -> Omni:
    return Omni(tiny_model(encoders=tiny_encoders()), tiny_tokenizers())


@pytest.mark.parametrize("want", ["text", "image", "audio"])
def test_cached_generation_equals_the_whole_sequence_at_once(omni: Omni, want: ModalityName) -> None:
    assert_cached_equals_whole(omni, PROMPTS["picture and clip"], want)


@pytest.mark.parametrize("chunk", [1, 5])
def test_a_prompt_in_chunks_is_read_as_in_one(omni: Omni, chunk: int) -> None:
    row = row_of(omni, PROMPTS["picture and clip"], "text", GREEDY)
    batcher = Batcher(omni.model, omni.layout, EngineConfig(chunk=chunk))
    batcher.add(row)

    def run() -> None:
        while row.phase is not Phase.DONE:
            batcher.step()

    cached = torch.cat([step[0] for step in outputs_of(omni.model.norm, run)])
    with torch.no_grad():
        at_once = omni.model(collate([[omni.layout.finish(row.builder, "answer")]])).x_BSD[0]
    torch.testing.assert_close(cached, at_once[: len(cached)], rtol=0, atol=1e-4)


def test_pieces_of_a_prompt_never_cut_a_picture() -> None:
    """``t t P P P t P P t``, where t is text."""
    builder = SequenceBuilder()
    builder.modality += [0, 0, 1, 1, 1, 0, 1, 1, 0]

    def pieces(most: int) -> list[int]:
        lane, found = Lane(builder, slot=0), list[int]()
        while lane.unread:
            found.append(lane.piece(most, whole=True).new)
            lane.read += found[-1]
        return found

    assert pieces(1) == [1, 1, 3, 1, 2, 1]
    assert pieces(2) == [2, 3, 1, 2, 1]
    assert pieces(4) == [2, 4, 3]
    assert pieces(7) == [6, 3]
    assert pieces(9) == [9]


def test_what_the_assistant_drew_before_enters_as_when_it_was_drawn(omni: Omni) -> None:
    asked, drawn = Image(picture(1), role="user"), Image(picture(2), role="assistant")
    row = row_of(omni, [], "text", GREEDY)
    row.builder = row._opened([asked, drawn, Text("and now?", role="user")], "assistant")
    batch = collate([[omni.layout.finish(row.builder, "prompt")]])
    read, held = read_positions(batch, IMAGE), batch.of(IMAGE)
    assert read[held].tolist() == [True] * 4 + [False] * 4


def test_answers_in_a_batch_are_those_alone(omni: Omni) -> None:
    prompts: list[list[Segment]] = [*PROMPTS.values()]
    together = omni.generate_batch(prompts, "text", GREEDY)
    for number, (prompt, answer) in enumerate(zip(prompts, together, strict=True)):
        assert same(answer, omni.generate(prompt, "text", replace(GREEDY, seed=number)))


def test_a_fixed_shape_is_refused(omni: Omni) -> None:
    with pytest.raises(ValueError, match="set fixed to false for a model with encoders"):
        Engine(omni.model, omni.tokenizers, EngineConfig(fixed=True, positions=64))


def test_a_modality_without_a_head_is_refused_and_never_opened() -> None:
    silent = {"image": ImageHeadConfig(generate=False), "audio": AudioHeadConfig(width=24, depth=1)}
    omni = Omni(tiny_model(**silent), tiny_tokenizers())
    with pytest.raises(
        ValueError, match=r"model\.network\.image\.generate false, so it answers in text, audio"
    ):
        Engine(omni.model, omni.tokenizers).submit(Request(prompt=[Text("draw")], want="image"))
    assert omni.generate([Text("say")], "audio", DRAWN)
    answer = scripted(omni, ids("<|image|>", "one", "<|end|>")).generate([Text("?")], None, GREEDY)
    assert not any(isinstance(segment, Image) for segment in answer)
